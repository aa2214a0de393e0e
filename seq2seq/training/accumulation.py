"""The gradient of a batch, added to that of the batches before it."""

from collections.abc import Callable

import torch
from torch import Tensor

from seq2seq.batch import Batch
from seq2seq.config import TrainingConfig
from seq2seq.kernels.dropout import drawing_for
from seq2seq.kernels.precision import autocast_to
from seq2seq.model import EncoderDecoder
from seq2seq.training.losses import ObjectiveTerms, TokenLoss, batch_loss
from seq2seq.training.stopwatch import Part, untimed

ForwardBackward = Callable[[Batch, int], Tensor]
"""forward_backward(batch, tokens) adds the gradient of the batch's objective, divided by `tokens`,
and returns its summed negative log-likelihood and objective, [2], on the device."""


def objective_terms(config: TrainingConfig) -> ObjectiveTerms:
    """The terms of the objective beside the likelihood, as the configuration weights them."""
    head = config.guided_alignment_head
    return {
        "smoothing": config.label_smoothing,
        "coverage": config.coverage_loss,
        "guidance": config.guided_alignment,
        "guided_by": config.guided_alignment_loss,
        "guided_head": None if head is None else head - 1,
    }


def eager_forward_backward(
    model: EncoderDecoder,
    config: TrainingConfig,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    part: Part = untimed,
) -> ForwardBackward:
    """One operation after the other, with matrix products in `dtype`."""
    terms = objective_terms(config)

    def forward_backward(batch: Batch, tokens: int) -> Tensor:
        with part("loss"), autocast_to(dtype, device), drawing_for(batch.share):
            loss = batch_loss(model, batch.to(device), **terms)
        return backward(loss, tokens, part)

    return forward_backward


def backward(loss: TokenLoss, tokens: int | Tensor, part: Part) -> Tensor:
    """Add the gradient of the objective, divided by `tokens`. -> [2], likelihood and objective"""
    with part("backward"):
        (loss.objective / tokens).backward()  # type: ignore[no-untyped-call]
    return torch.stack([loss.nll, loss.objective]).detach()


def build_forward_backward(
    model: EncoderDecoder,
    config: TrainingConfig,
    *,
    device: str,
    dtype: torch.dtype,
    part: Part = untimed,
) -> ForwardBackward:
    """Replayed from CUDA graphs on a GPU, unless scheduled sampling makes every batch differ."""
    if device != "cpu" and config.cuda_graphs and not config.scheduled_sampling:
        from seq2seq.training.cuda_graphs import CudaGraphs

        return CudaGraphs(model, config, device=device, dtype=dtype, part=part)
    return eager_forward_backward(model, config, device=device, dtype=dtype, part=part)
