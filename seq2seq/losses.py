"""Losses as sums with their counts, so that no padding and no batch size leaks into an average."""

from typing import NamedTuple

from torch import Tensor

from seq2seq.batch import PAD, Batch
from seq2seq.model import EncoderDecoder


class TokenLoss(NamedTuple):
    """Summed over the real target tokens of a batch."""

    nats: Tensor  # [] negative log-likelihood, what perplexity is made of
    smoothed_nats: Tensor  # [] what is trained: cross-entropy against the smoothed target
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


def batch_loss(model: EncoderDecoder, batch: Batch, *, smoothing: float = 0.0) -> TokenLoss:
    """The loss of a batch; the output layer sees real tokens only."""
    real = batch.labels != PAD  # [B, T]
    readouts = model.unroll(batch).readouts[real]  # [N, R]
    return cross_entropy(model.logits(readouts), batch.labels[real], smoothing=smoothing)
