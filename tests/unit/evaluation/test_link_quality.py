"""AER, precision, recall and F1: by hand, and as published programs compute them."""

import numpy as np
import pytest

from seq2seq.evaluation.link_quality import LinkCounts, alignment_error_rate
from seq2seq.evaluation.links import parse_reference_links

# The answer and submission files of an example, in the format of the shared task of HLT-NAACL 2003.
ANSWER = """0001 1 1 S
0001 2 2
0001 3 4 S 0.9
0001 3 3 P
0001 4 3 P 1
0002 1 2 S
0002 2 1 S
0002 2 3 P
0002 4 4 P
0002 5 5 S"""
SUBMISSION = """0001 1 1
0001 2 2
0001 3 3
0001 4 4
0002 1 2
0002 2 3
0002 3 3
0002 4 4
0002 5 4
0002 5 5"""


def test_the_scores_are_those_of_the_shared_tasks_own_program():
    """wa_eval.pl of 6 March 2003, which Mihalcea & Pedersen scored the shared task with (their
    section 3), prints for these files: Precision 0.7000 of PROBABLE and Recall 0.6667 of SURE
    alignments, which are the precision and recall of Och & Ney, and AER 0.3125."""
    reference = parse_reference_links(ANSWER.split("\n"), name="answer", sentences=2)
    found = parse_reference_links(SUBMISSION.split("\n"), name="submission", sentences=2)
    quality = alignment_error_rate(
        [each.sure for each in found],
        [each.sure for each in reference],
        [each.possible for each in reference],
    )
    assert quality.precision == pytest.approx(0.7, abs=5e-5)
    assert quality.recall == pytest.approx(0.6667, abs=5e-5)
    assert quality.aer == pytest.approx(0.3125, abs=5e-5)
    assert quality.counts == LinkCounts(10, 6, 10, 4, 7)


def test_the_error_rate_of_sure_links_is_that_of_the_documentation_of_nltk():
    """The example of nltk.translate.metrics.alignment_error_rate: 0.6666666666666667."""
    quality = alignment_error_rate([{(0, 0), (1, 2), (2, 1)}], [{(0, 0), (1, 1), (2, 2)}], [set()])
    assert quality.aer == pytest.approx(0.6666666666666667, abs=1e-15)
    assert quality.f1 == pytest.approx(1 - quality.aer)  # where every link is sure


def test_error_rate_by_hand():
    found = [{(0, 0), (1, 1), (2, 1), (3, 3)}]
    sure = [{(0, 0), (1, 1), (2, 2)}]
    possible = [{(2, 1)}]
    quality = alignment_error_rate(found, sure, possible)
    # A & S = 2, A & P = 3 of |A| = 4, |S| = 3: AER = 1 - 5 / 7
    assert quality.precision == pytest.approx(3 / 4)
    assert quality.recall == pytest.approx(2 / 3)
    assert quality.aer == pytest.approx(2 / 7)
    assert quality.f1 == pytest.approx(12 / 17)


def test_error_rate_of_a_corpus_sums_before_it_divides():
    quality = alignment_error_rate(
        [{(0, 0)}, {(0, 0), (1, 0), (2, 0)}], [{(0, 0)}, {(0, 1)}], [set(), set()]
    )
    # 1 - (1 + 1) / (4 + 2), not the mean of the sentences' 0 and 1
    assert quality.aer == pytest.approx(2 / 3)


@pytest.mark.parametrize("sentences", [[], [set()]])
def test_nothing_linked_and_nothing_to_link_is_no_error(sentences):
    quality = alignment_error_rate(sentences, sentences, sentences, bootstrap_samples=10)
    assert (quality.aer, quality.precision, quality.recall, quality.f1) == (0.0, 1.0, 1.0, 1.0)


def test_error_rate_refuses_corpora_of_unequal_length():
    with pytest.raises(ValueError, match="shorter"):
        alignment_error_rate([set()], [], [])


def test_the_interval_is_that_of_samples_drawn_one_by_one():
    rng = np.random.default_rng(3)
    sentences = [
        tuple({(int(i), int(j)) for i, j in rng.integers(0, 5, (4, 2))} for _ in range(3))
        for _ in range(40)
    ]
    quality = alignment_error_rate(*zip(*sentences, strict=True), bootstrap_samples=2000)
    rates = []
    for _ in range(2000):
        drawn = [sentences[i] for i in rng.integers(0, 40, 40)]
        rates.append(alignment_error_rate(*zip(*drawn, strict=True)).aer)
    low, high = quality.intervals["aer"]
    assert low < quality.aer < high
    np.testing.assert_allclose([low, high], np.quantile(rates, [0.025, 0.975]), atol=0.01)
    again = alignment_error_rate(*zip(*sentences, strict=True), bootstrap_samples=2000)
    assert again.intervals == quality.intervals
