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


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> TokenLoss:
    """logits [N, V] at N real tokens, labels [N].

    The smoothed target puts 1 - smoothing on the label and spreads the rest evenly over all V
    entries, the label included (Szegedy et al., 2016, section 7).
    """
    log_probabilities = logits.log_softmax(-1)
    nats = -log_probabilities.gather(-1, labels.unsqueeze(-1)).sum()
    smoothed = nats
    if smoothing:
        spread = -log_probabilities.sum() / logits.shape[-1]
        smoothed = (1 - smoothing) * nats + smoothing * spread
    return TokenLoss(nats, smoothed, len(labels))


def coverage_loss(weights: Tensor, real: Tensor) -> Tensor:
    """Looking again where a word has looked before: See et al. (2017), equation 12.

    The sum over steps t and places j of min(a_tj, a_1j + ... + a_{t-1,j}), [] for the mean of all
    heads. weights [B, T, N, S], real [B, T] bool.
    """
    looks = weights.mean(2)  # [B, T, S]
    before = looks.cumsum(1) - looks
    return (looks.minimum(before).sum(-1) * real).sum()


def batch_loss(
    model: EncoderDecoder, batch: Batch, *, smoothing: float = 0.0, coverage: float = 0.0
) -> TokenLoss:
    """The loss of a batch; the output layer sees real tokens only.

    `coverage` is the weight of the coverage loss in what is trained.
    """
    real = batch.labels != PAD  # [B, T]
    readouts, weights = model.unroll(batch)
    loss = cross_entropy(
        model.logits(readouts[real]), batch.labels[real], smoothing=smoothing
    )  # [N, R] -> []
    if not coverage or weights is None:
        return loss
    added = coverage * coverage_loss(weights, real)
    return loss._replace(smoothed_nats=loss.smoothed_nats + added)
