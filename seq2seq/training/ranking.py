"""Which checkpoint of a run is the best: a rule on validation scores alone.

It is the latest one whose score is within the noise of the highest score so far. A higher score can
be luck, and of two that cannot be told apart the later has trained more, at a lower learning rate.
The highest score alone decides patience and plateaus: noise that never ends is not progress.
"""

import math
from dataclasses import replace

from seq2seq.training.events import TrainingState, ValidationScores

MARGIN = 3.0
"""Points of BLEU or chrF, to be divided by the square root of the number of sentences: a third of
the standard error of the difference between two neighbouring checkpoints. That is 9 points on one
sentence (bootstraps of Multi30k and of smart-home texts). With a margin of the whole error
a score that falls slowly would be followed too far down."""


def margin(scores: ValidationScores, metric: str) -> float:
    """Difference between two scores that may be luck; 0 for perplexity, which hardly has any."""
    if metric == "perplexity" or not scores.sentences:
        return 0.0
    return MARGIN / math.sqrt(scores.sentences)


def ranked(state: TrainingState, scores: ValidationScores, metric: str) -> TrainingState:
    """The state after a validation of its weights with these scores.

    Its `best_update` is its own update where the weights are the best so far.
    """
    value, highest = scores.value(metric), state.highest_value(metric)
    rises = value > highest
    state = replace(
        state,
        validated=state.update,
        measured=scores,
        highest=max(value, highest),
        stale=0 if rises else state.stale + 1,
        waited=0 if rises else state.waited + 1,
    )
    if value <= highest - margin(scores, metric):
        return state
    return replace(
        state,
        best_update=state.update,
        best_nats=scores.nats_per_token,
        best_score=scores.score(metric),
    )
