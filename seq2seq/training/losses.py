"""Losses as sums with their counts, so that no padding and no batch size leaks into an average."""

from typing import NamedTuple, TypedDict, Unpack

from torch import Tensor

from seq2seq.batch import PAD, Batch
from seq2seq.kernels.linear_cross_entropy import CrossEntropy
from seq2seq.model import EncoderDecoder


class TokenLoss(NamedTuple):
    """Summed over the real target tokens of a batch."""

    nats: Tensor  # [] negative log-likelihood, what perplexity is made of
    smoothed_nats: Tensor  # [] what is trained: cross-entropy against the smoothed target, and all
    # that is added to it
    tokens: int


class Terms(TypedDict, total=False):
    """What is trained beside the likelihood; what is left out is 0."""

    smoothing: float  # of labels
    coverage: float  # weight of the coverage loss
    r_drop: float  # the model reads the batch twice, each time with other dropout; what is trained
    # is the mean of both and, so weighted, how far apart they are (`linear_cross_entropy`)


def coverage_loss(weights: Tensor, real: Tensor) -> Tensor:
    """Looking again where a word has looked before: See et al. (2017), equation 12.

    The sum over steps t and places j of min(a_tj, a_1j + ... + a_{t-1,j}), [] for the mean of all
    heads. weights [B, N, T, S], real [B, T] bool.
    """
    looks = weights.mean(1)  # [B, T, S]
    before = looks.cumsum(1) - looks
    return (looks.minimum(before).sum(-1) * real).sum()


def batch_loss(model: EncoderDecoder, batch: Batch, **terms: Unpack[Terms]) -> TokenLoss:
    """The loss of a batch; the output layer sees real tokens only."""
    places = batch.nonpad_positions  # [N]
    nats, trained = _loss_at(model, batch, places, **terms)
    return TokenLoss(nats, trained, len(places))


def padded_loss(model: EncoderDecoder, batch: Batch, **terms: Unpack[Terms]) -> CrossEntropy:
    """The same, where the output layer sees padding too and passes over it.

    No shape depends on where the padding is: what is done for one batch is done for another.
    """
    return _loss_at(model, batch, slice(None), (batch.labels != PAD).flatten(), **terms)


def _loss_at(
    model: EncoderDecoder,
    batch: Batch,
    places: Tensor | slice,
    real: Tensor | None = None,
    *,
    smoothing: float = 0.0,
    coverage: float = 0.0,
    r_drop: float = 0.0,
) -> CrossEntropy:
    """The loss at N of the B * T places; only the real [N] count, if they are given."""
    readings = 2 if r_drop else 1
    readouts, weights = model.unroll(batch.repeated(readings))  # [B, T, R] or [2B, T, R]
    each = readouts.reshape(readings, batch.labels.numel(), -1)
    nats, trained = model.output.loss(
        each[:, places],  # [1, N, R] or [2, N, R]
        batch.labels.flatten()[places],  # [N]
        smoothing=smoothing,
        agreement=r_drop,
        real=real,
    )
    if coverage and weights is not None:
        words = (batch.labels != PAD).repeat(readings, 1)  # [B, T] or [2B, T]
        trained = trained + coverage * coverage_loss(weights, words) / readings
    return CrossEntropy(nats, trained)
