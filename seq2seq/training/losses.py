"""Losses as sums with their counts, so that no padding and no batch size leaks into an average."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypedDict, Unpack

import torch
from torch import Tensor

from seq2seq.batch import PAD, AttentionTargets, Batch
from seq2seq.model import EncoderDecoder
from seq2seq.system.out_of_memory import explain_out_of_memory


class TokenLoss(NamedTuple):
    """Summed over the target tokens of a batch; padding counts nothing."""

    nll: Tensor  # [] negative log-likelihood in nats, of which perplexity is made
    objective: Tensor  # [] what is minimised: smoothed cross-entropy and all further terms


class ObjectiveTerms(TypedDict, total=False):
    """Terms of the objective beside the likelihood; 0 where left out."""

    smoothing: float  # of labels
    coverage: float  # weight of the coverage loss
    guidance: float  # weight of the loss of guided alignment
    guided_by: Literal["cross_entropy", "mse"]
    guided_head: int | None  # from 0; None for the mean of all


LEAST_WEIGHT = 1e-6
"""Attention weights count as no less in a logarithm."""


def coverage_loss(weights: Tensor, mask: Tensor) -> Tensor:
    """Attention to source positions attended to before: See et al. (2017), equation 12.

    The sum over steps t and positions j of min(a_tj, a_1j + ... + a_{t-1,j}), [] for the mean of
    all heads. weights [B, N, T, S], mask [B, T] bool, True for tokens.
    """
    mean = weights.mean(1)  # [B, T, S]
    coverage = mean.cumsum(1) - mean
    return (mean.minimum(coverage).sum(-1) * mask).sum()


def guided_alignment_loss(
    weights: Tensor,
    targets: AttentionTargets,
    *,
    by: Literal["cross_entropy", "mse"] = "cross_entropy",
    head: int | None = None,
) -> Tensor:
    """Distance of attention weights a_t from those g_t that links of words ask for.

    Cross-entropy, the sum over t and s of -g_ts log a_ts, or half of the squared error, the sum of
    (a_ts - g_ts)^2 / 2, each row times its importance: Chen et al. (2016), section 3, and Mi et al.
    (2016), section 3. weights [B, N, T, S] -> []
    """
    attended = weights.mean(1) if head is None else weights[:, head]  # [B, T, S]
    attended = attended.to(torch.promote_types(attended.dtype, torch.float32))
    wanted = targets.weights[..., : attended.shape[-1]]  # memory has no padding of the whole batch
    if by == "mse":
        rows = (attended - wanted).square().sum(-1) / 2  # [B, T]
    else:
        rows = -(wanted * attended.clamp_min(LEAST_WEIGHT).log()).sum(-1)
    return (rows * targets.importance).sum()


def batch_loss(model: EncoderDecoder, batch: Batch, **terms: Unpack[ObjectiveTerms]) -> TokenLoss:
    """The loss of a batch; the output layer is given the positions of tokens only."""
    return _loss_at(model, batch, batch.nonpad_positions, **terms)


def padded_loss(model: EncoderDecoder, batch: Batch, **terms: Unpack[ObjectiveTerms]) -> TokenLoss:
    """`batch_loss` with shapes that depend on the padded size alone, for CUDA graphs.

    The output layer is given padding too, and masks it.
    """
    return _loss_at(model, batch, slice(None), (batch.labels != PAD).flatten(), **terms)


def _loss_at(
    model: EncoderDecoder,
    batch: Batch,
    positions: Tensor | slice,
    mask: Tensor | None = None,
    *,
    smoothing: float = 0.0,
    coverage: float = 0.0,
    guidance: float = 0.0,
    guided_by: Literal["cross_entropy", "mse"] = "cross_entropy",
    guided_head: int | None = None,
) -> TokenLoss:
    """The loss at `positions` [P] of the B * T; only those in `mask` [P] count, if it is given."""
    readouts, weights, bias = model.unroll(batch)  # [B, T, O]
    nll, objective = model.output.loss(
        readouts.flatten(0, 1)[positions],  # [P, O]
        batch.labels.flatten()[positions],  # [P]
        smoothing=smoothing,
        mask=mask,
        logit_bias=None if bias is None else bias.flatten().at(positions),
    )
    if coverage and weights is not None:
        objective = objective + coverage * coverage_loss(weights, batch.labels != PAD)
    if guidance and weights is not None and batch.attention_targets is not None:
        objective = objective + guidance * guided_alignment_loss(
            weights, batch.attention_targets, by=guided_by, head=guided_head
        )
    return TokenLoss(nll, objective)


def corpus_nats_per_token(
    model: EncoderDecoder, batches: Iterable[Batch], *, device: str = "cpu"
) -> float:
    """Nats per target token, EOS included, over all batches: the logarithm of the perplexity."""
    return nats_per_token((batch_nats(model, b, device=device), b.target_tokens) for b in batches)


def batch_nats(model: EncoderDecoder, batch: Batch, *, device: str = "cpu") -> float:
    """The negative log-likelihood of a batch in nats, in evaluation mode."""
    was_training = model.training
    model.eval()
    with torch.inference_mode(), explain_out_of_memory(f"validation, in {batch.describe()}"):
        nats = batch_loss(model, batch.to(device)).nll.item()
    model.train(was_training)
    return nats


def nats_per_token(batches: Iterable[tuple[float, int]]) -> float:
    """The mean over all batches; of each its nats and its target tokens."""
    nats, tokens = 0.0, 0
    for batch, count in batches:
        nats += batch
        tokens += count
    return nats / tokens
