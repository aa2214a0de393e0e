"""Statistics of attention, worked out by hand from the formulas of Rikters et al. (2017)."""

import math

import numpy as np
import pytest

from seq2seq.evaluation.alignment import Alignment
from seq2seq.evaluation.attention_statistics import (
    corpus_attention,
    head_agreement,
    sentence_attention,
)

LN2 = math.log(2)


def attention(source: str, target: str, weights: list[list[float]]) -> Alignment:
    return Alignment(tuple(source.split()), tuple(target.split()), np.array(weights))


FIRST = attention(
    "a b ⏎", "x y z ⏎", [[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
)  # sums of the columns: 1.5, 1.5, 1


def test_the_penalties_by_hand():
    found = sentence_attention(FIRST)
    # (ln(1 + 0.5^2) twice, and ln 1) / 3
    assert found.coverage_deviation == pytest.approx(2 * math.log(1.25) / 3)
    assert found.absentmindedness_out == pytest.approx(LN2 / 4)  # one row of four is spread
    # columns of 1/3 and 2/3, twice, have an entropy of ln 3 - 2/3 ln 2; the last one has none
    assert found.absentmindedness_in == pytest.approx(2 * (math.log(3) - 2 * LN2 / 3) / 3)
    assert found.doubt == pytest.approx(
        found.coverage_deviation + found.absentmindedness_out + found.absentmindedness_in
    )
    assert found.confidence == pytest.approx(math.exp(-0.05 * found.doubt**2))


def test_one_to_one_attention_leaves_no_doubt():
    words = " ".join("abcdef")
    found = sentence_attention(attention(words, words, np.eye(6).tolist()))
    assert (found.doubt, found.confidence) == (0.0, 1.0)
    assert (found.steps, found.steps_in_order, found.unattended) == (5, 5, 0)


def test_steps_fertilities_and_jumps_leave_the_ends_out():
    found = sentence_attention(
        attention(
            "a b c ⏎",
            "w x y z ⏎",
            [
                [0.9, 0, 0.1, 0],
                [0, 0, 0.6, 0.4],
                [0.2, 0, 0.3, 0.5],
                [0.9, 0.05, 0.05, 0],
                [0, 0, 0, 1],
            ],
        )
    )
    # largest weights among words: a, c, c, a; b has none, and its weights sum to 0.05
    assert found.fertilities.tolist() == [1, 0, 2, 0, 0, 0]
    assert (found.steps, found.steps_in_order) == (3, 2)
    assert {jump - 5: n for jump, n in enumerate(found.jumps.tolist()) if n} == {2: 1, 0: 1, -2: 1}
    assert found.unattended == 1


def test_far_jumps_and_many_links_are_counted_together():
    weights = np.zeros((9, 10))
    weights[:8, 0], weights[8, 9] = 1, 1
    found = sentence_attention(attention(" ".join("abcdefghij"), " ".join("abcdefghi"), weights))
    assert found.fertilities.tolist() == [8, 1, 0, 0, 0, 1]
    assert found.jumps[-1] == 1 and found.jumps[5] == 7


def test_a_translation_that_stares_at_one_word_is_more_doubtful():
    stare = np.zeros((5, 5))
    stare[:, 2] = 1
    words = " ".join("abcde")
    assert (
        sentence_attention(attention(words, words, stare)).doubt
        > sentence_attention(attention(words, words, np.eye(5))).doubt
    )


def test_heads_agree_by_what_they_share():
    same, other = np.eye(2), np.array([[0.0, 1.0], [0.5, 0.5]])
    assert head_agreement([same]) is None
    assert head_agreement([same, same]) == 1.0
    # shared: 0 in the first row, 0.5 in the second; the third head is equal to the first
    assert head_agreement([same, other]) == pytest.approx(0.25)
    assert head_agreement([same, other, same]) == pytest.approx((0.25 + 1 + 0.25) / 3)


def test_means_are_over_words_not_over_sentences():
    second = attention("a ⏎", "x ⏎", [[0.5, 0.5], [0.5, 0.5]])
    found = corpus_attention([sentence_attention(FIRST), sentence_attention(second)])
    assert (found.sentences, found.target_words, found.source_words) == (2, 6, 5)
    assert found.entropy == pytest.approx((LN2 + 2 * LN2) / 6)
    assert found.coverage_deviation == pytest.approx(2 * math.log(1.25) / 5)
    assert found.monotonicity == 1.0 and found.agreement is None
    assert found.fertilities.sum() == 3


def test_a_side_without_words_has_no_statistics():
    assert sentence_attention(Alignment(("⏎",), (), np.zeros((0, 1)))) is None
    only_ends = sentence_attention(attention("⏎", "⏎", [[1.0]]))
    assert only_ends.doubt == 0.0 and only_ends.fertilities.sum() == 0
