"""Arithmetic, losses and learning rates as plain loops over float64, written from the papers alone.

Nothing in these references is shared with the code under test, nothing is batched, and nothing is
fast. Matrices are NumPy arrays, vectors have one dimension. `recurrent_references.py` has cells and
encoders, `attention_references.py` attention, and `decoder_references.py` whole models.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def times(matrix: Array, vector: Array) -> Array:
    """A matrix-vector product, a number at a time."""
    rows, columns = matrix.shape
    assert len(vector) == columns
    return np.array([sum(matrix[r, c] * vector[c] for c in range(columns)) for r in range(rows)])


def sigmoid(x: Array) -> Array:
    return np.array([1.0 / (1.0 + math.exp(-float(each))) for each in x])


def tanh(x: Array) -> Array:
    return np.array([math.tanh(float(each)) for each in x])


def join(*vectors: Array) -> Array:
    return np.concatenate(vectors)


# Loss and learning rate


def log_softmax(logits: Array) -> Array:
    highest = max(float(each) for each in logits)
    total = math.log(sum(math.exp(float(each) - highest) for each in logits))
    return np.array([float(each) - highest - total for each in logits])


def smoothed_cross_entropy(logits: Array, labels: Sequence[int], smoothing: float) -> float:
    """H(q', p) with q'(k) = (1 - e) [k = y] + e / K: Szegedy et al. (2016), section 7. Summed."""
    nats = 0.0
    for row, label in zip(logits, labels, strict=True):
        log_probabilities = log_softmax(row)
        for k, log_probability in enumerate(log_probabilities):
            target = smoothing / len(row) + (1 - smoothing if k == label else 0.0)
            nats -= target * float(log_probability)
    return nats


def noam_rate(step: int, *, warmup: int, width: float) -> float:
    """d^-0.5 min(n^-0.5, n w^-1.5): Vaswani et al. (2017), equation 3."""
    return float(width**-0.5 * min(step**-0.5, step * warmup**-1.5))
