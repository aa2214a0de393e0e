"""Which validation is the best: worked examples, and curves whose true quality is known."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from seq2seq.training.events import TrainingState, ValidationScores
from seq2seq.training.ranking import MARGIN, margin, ranked

SENTENCES = 400
NOISE = 9 / math.sqrt(2)  # points of chrF of one checkpoint on one sentence, by luck


def after(scores: Sequence[float], *, sentences: int | None = SENTENCES) -> list[TrainingState]:
    """The states after validations with these values of chrF, one an update."""
    states, state = list[TrainingState](), TrainingState()
    for update, chrf in enumerate(scores, start=1):
        measured = ValidationScores(3.0, bleu=1.0, chrf=chrf, sentences=sentences)
        state = ranked(TrainingState(**_kept(state) | {"update": update}), measured, "chrf")
        states.append(state)
    return states


def _kept(state: TrainingState) -> dict[str, object]:
    names = ("best_update", "best_nats", "best_score", "highest", "stale", "waited", "validated")
    return {name: getattr(state, name) for name in names}


def test_the_margin_shrinks_with_the_root_of_the_sentences():
    scores = ValidationScores(3.0, 1.0, 20.0, sentences=400)
    assert margin(scores, "chrf") == margin(scores, "bleu") == MARGIN / 20
    assert margin(scores, "perplexity") == 0
    assert margin(ValidationScores(3.0), "chrf") == 0


def test_the_latest_score_within_the_margin_of_the_highest_is_the_best():
    within, below = 30.0 - 0.9 * MARGIN / 20, 30.0 - 1.1 * MARGIN / 20
    states = after([20.0, 30.0, within, below, within, below])
    assert [state.best_update for state in states] == [1, 2, 3, 3, 5, 5]
    assert states[-1].best_score == within


def test_margins_do_not_add_up():
    step = 0.9 * MARGIN / 20
    states = after([30.0 - step * number for number in range(5)])
    assert states[-1].best_update == 2  # the third is within the margin of the second only


def test_patience_counts_from_the_highest_score():
    states = after([20.0, 30.0, 29.99, 29.99, 31.0, 30.0])
    assert [state.stale for state in states] == [0, 0, 1, 2, 0, 1]
    assert [state.waited for state in states] == [0, 0, 1, 2, 0, 1]


def test_without_a_number_of_sentences_only_a_higher_score_is_better():
    states = after([20.0, 30.0, 30.0, 29.99], sentences=None)
    assert [state.best_update for state in states] == [1, 2, 2, 2]


def test_a_state_of_an_earlier_version_has_no_highest_score():
    old = TrainingState(update=7, best_update=5, best_nats=2.0, best_score=30.0, stale=1)
    state = ranked(old, ValidationScores(2.0, 1.0, 29.0, sentences=400), "chrf")
    assert (state.best_update, state.highest, state.stale) == (5, 30.0, 2)
    state = ranked(old, ValidationScores(1.9, 1.0, 29.0), "perplexity")
    assert (state.best_update, state.highest, state.stale) == (7, -1.9, 0)


# Curves of true quality, from an early to the last validation at t = 1; the second number is by how
# much neighbouring weights differ. The rates of learning fall to 0, but for the last.
CURVES: dict[str, Callable[[float], tuple[float, float]]] = {
    "level": lambda t: (30 * (1 - math.exp(-4 * t)), 0.5 * (1 - t) + 0.05),
    "rising": lambda t: (30 * t**0.5, 0.5 * (1 - t) + 0.05),
    "peak": lambda t: (30 * (1 - math.exp(-8 * t)) - 4 * max(0.0, t - 0.4), 0.4),
    "slow": lambda t: (30 * (1 - math.exp(-12 * t)) - 1.5 * t, 0.4 * (1 - t) + 0.1),
    "constant rate": lambda t: (30 * (1 - math.exp(-8 * t)), 0.6),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("sentences", [200, 500])
def test_the_best_is_near_the_true_best_of_a_noisy_curve(name, sentences):
    rng, losses = random.Random(5), []
    for _ in range(200):
        points = [CURVES[name](number / 20) for number in range(1, 21)]
        true = [quality + spread * rng.gauss(0, 1) for quality, spread in points]
        noise = NOISE / math.sqrt(sentences)
        measured = [each + noise * rng.gauss(0, 1) for each in true]
        chosen = after(measured, sentences=sentences)[-1].best_update
        losses.append(max(true) - true[chosen - 1])
    assert sum(losses) / len(losses) < 0.5
