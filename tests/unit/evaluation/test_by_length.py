"""Scores by source length; the bins of compare-mt on the same texts."""

from itertools import pairwise

import pytest
from noisy_texts import noisy_texts
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from seq2seq.evaluation.by_length import LengthBin, length_bins, scores_by_length, source_words


def test_bins_are_those_of_compare_mt_on_the_same_files():
    references, hypotheses, _ = noisy_texts()
    lengths = source_words(references)
    bins = length_bins(lengths, [6, 8, 11])
    scores = scores_by_length([hypotheses], references, lengths, bins, samples=2)["bleu"]
    # LengthSentenceBucketer([6, 8, 11]) of compare-mt 0.2.10, and sacreBLEU on each of its buckets
    assert [each.sentences for each in bins] == [7, 9, 12, 12]
    expected = [69.75341541238866, 54.29745201254695, 65.9768272215605, 69.39047318111548]
    assert [score.score for score in scores] == pytest.approx(expected)
    assert [each.label for each in bins] == ["5", "6–7", "8–10", "11+"]


def test_seeds_are_counted_together():
    references, *systems = noisy_texts()
    everything = [LengthBin(0, None, 40)]
    lengths = source_words(references)
    found = scores_by_length(systems, references, lengths, everything, samples=50)
    joined, twice = [*systems[0], *systems[1]], [[*references, *references]]
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        (score,) = found[name]
        assert score.score == pytest.approx(metric.corpus_score(joined, twice).score)
        assert score.low < score.score < score.high


def test_bins_that_are_made_by_themselves_are_few_and_leave_nothing_out():
    lengths = [n for n in range(3, 60) for _ in range(5)] + [200]
    bins = length_bins(lengths)
    assert len(bins) <= 9 and sum(each.sentences for each in bins) == len(lengths)
    assert bins[-1].high is None
    assert all(a.high is not None and a.high + 1 == b.low for a, b in pairwise(bins))


def test_one_length_has_one_bin_and_no_line_none():
    assert [each.sentences for each in length_bins([4, 4])] == [2]
    assert length_bins([]) == []
