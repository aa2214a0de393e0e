"""The shape of attention over many sentences: how sharp it is, and how much of it runs in order."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from seq2seq.evaluation.alignment import FloatArray


class AttentionShape(NamedTuple):
    """Two means over target pieces, which show how attention develops in training."""

    entropy: float
    """Nats of the weights of a target piece: 0 if one is 1, log S if all S are equal."""
    monotonicity: float
    """Share of target pieces, from the second on, whose largest weight is not to the left of the
    largest of the piece before: 1 for a translation word by word."""


def attention_shape(sentences: Iterable[FloatArray]) -> AttentionShape | None:
    """The shape of sentences' weights [T, S]; None where there is no target piece."""
    entropy = ordered = 0.0
    pieces = steps = 0
    for weights in sentences:
        if not weights.size:
            continue
        logs = np.log(weights, where=weights > 0, out=np.zeros(weights.shape))  # 0 log 0 = 0
        entropy -= float((weights * logs).sum())
        pieces += len(weights)
        moves = np.diff(weights.argmax(axis=1))
        ordered += int((moves >= 0).sum())
        steps += len(moves)
    if not pieces:
        return None
    return AttentionShape(entropy / pieces, ordered / steps if steps else 1.0)
