"""The weights of a noisy channel, found for candidates that are made up."""

import pytest
from sacrebleu.metrics.chrf import CHRF

from seq2seq.evaluation.rescoring import Features, tuned_weights


def test_a_candidate_is_ranked_by_both_directions_and_its_length():
    features = Features("ein Hund", forward=-2.0, reverse=-3.0, pieces=4)
    # by hand: -2 + .5 * -3 + .25 * 4 = -2.5
    assert features.score(0.5, 0.25) == pytest.approx(-2.5)


def test_the_weights_are_those_that_rank_the_best_candidates_first():
    references = ["ein Hund läuft", "der Hund schläft"]
    candidates = [
        # the right one is .9 less likely, but its source is 1 likelier
        [Features("Katzen", -1.0, -3.0, 2), Features(references[0], -1.9, -2.0, 2)],
        # and here the right one is also likelier, unless the other direction weighs more than 1.2
        [Features(references[1], -1.0, -2.5, 3), Features("die", -2.2, -1.5, 3)],
    ]
    found = tuned_weights(candidates, references)
    assert found.reverse_weight == 1.0 and found.length_reward == 0.0  # of several the smallest
    assert found.chrf == pytest.approx(100)
    before = CHRF().corpus_score(["Katzen", references[1]], [references]).score
    assert found.chrf_before == pytest.approx(before)


def test_longer_candidates_are_found_by_the_reward():
    references = ["ein Hund läuft"]
    candidates = [[Features("ein", -1.0, -2.0, 2), Features(references[0], -2.4, -2.0, 4)]]
    assert tuned_weights(candidates, references).length_reward == pytest.approx(0.8)


def test_where_no_weights_are_better_both_are_zero():
    found = tuned_weights([[Features("a", -1.0, -1.0, 1)]], ["b"])
    assert (found.reverse_weight, found.length_reward, found.chrf) == (0.0, 0.0, 0.0)
