"""Minimum Bayes risk against sacreBLEU, pair by pair, and worked out by hand."""

import random

import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from seq2seq.evaluation.bayes_risk import expected_utilities

METRICS = {"chrf": CHRF(), "bleu": BLEU(effective_order=True)}


def sentences(count: int, *, seed: int) -> list[str]:
    rng = random.Random(seed)
    words = ["ein", "der", "Hund", "Hunde", "läuft", "lief", "schnell", "."]
    return [" ".join(rng.choices(words, k=rng.randint(0, 7))) for _ in range(count)]


@pytest.mark.parametrize("utility", METRICS)
def test_utilities_are_means_of_sacrebleus_scores(utility):
    texts = sentences(9, seed=1) + ["ein Hund"] * 2
    weights = [random.Random(i).random() for i in range(len(texts))]
    found = expected_utilities(texts, weights, utility=utility)
    for text, value in zip(texts, found, strict=True):
        scores = [METRICS[utility].sentence_score(text, [other]).score for other in texts]
        mean = sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)
        assert value == pytest.approx(mean)


def test_what_is_like_the_others_beats_what_is_likeliest():
    texts = ["Katzen schlafen", "ein Hund läuft", "der Hund läuft", "ein Hund lief"]
    utilities = expected_utilities(texts, [0.4, 0.2, 0.2, 0.2])
    assert utilities.index(max(utilities)) == 1
    # by hand: chrF is 100 to itself and 0 to a text without a common character
    assert expected_utilities(["aa", "bb"], [3, 1]) == pytest.approx([75, 25])


def test_bleu_counts_the_words_of_the_language():
    texts = ["我喜欢狗", "我喜欢猫"]
    apart = expected_utilities(texts, [1, 1], utility="bleu")
    words = expected_utilities(texts, [1, 1], utility="bleu", target_language="zh")
    assert apart == pytest.approx([50, 50]) and words[0] > 51
