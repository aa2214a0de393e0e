"""Losses as sums with their counts, so that no padding and no batch size leaks into an average."""

from typing import NamedTuple

from torch import Tensor

from seq2seq.batch import PAD, Batch
from seq2seq.model import EncoderDecoder


class TokenLoss(NamedTuple):
    """Summed over the real target tokens of a batch."""

    nats: Tensor  # [] negative log-likelihood, what perplexity is made of
    smoothed_nats: Tensor  # [] what is trained: cross-entropy against the smoothed target, and all
    # that is added to it
    tokens: int


def coverage_loss(weights: Tensor, real: Tensor) -> Tensor:
    """Looking again where a word has looked before: See et al. (2017), equation 12.

    The sum over steps t and places j of min(a_tj, a_1j + ... + a_{t-1,j}), [] for the mean of all
    heads. weights [B, T, N, S], real [B, T] bool.
    """
    looks = weights.mean(2)  # [B, T, S]
    before = looks.cumsum(1) - looks
    return (looks.minimum(before).sum(-1) * real).sum()


def batch_loss(
    model: EncoderDecoder,
    batch: Batch,
    *,
    smoothing: float = 0.0,
    coverage: float = 0.0,
    r_drop: float = 0.0,
) -> TokenLoss:
    """The loss of a batch; the output layer sees real tokens only.

    `coverage` is the weight of the coverage loss in what is trained. With `r_drop` the model reads
    the batch twice, each time with other dropout, and what is trained is the mean of both and how
    far apart they are (`linear_cross_entropy`).
    """
    readings = 2 if r_drop else 1
    real = batch.labels != PAD  # [B, T]
    labels = batch.labels[real]  # [N]
    readouts, weights = model.unroll(batch.repeated(readings))  # [B, T, R] or [2B, T, R]
    real = real.repeat(readings, 1)
    read = readouts[real]  # [N, R] or [2N, R]
    nats, trained = model.output.loss(
        read.view(2, len(labels), -1) if r_drop else read,
        labels,
        smoothing=smoothing,
        agreement=r_drop,
    )
    if coverage and weights is not None:
        trained = trained + coverage * coverage_loss(weights, real) / readings
    return TokenLoss(nats, trained, len(labels))
