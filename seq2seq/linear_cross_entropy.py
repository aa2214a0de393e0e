"""The output layer and its loss as one: logits are made, read once and gone, a part at a time.

A batch has tens of millions of logits. Here as many rows as stay in cache are made at a time; from
them come the loss and at once its gradients, so that no logit is written to memory and read again.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CACHED = 2**21  # logits made at a time on a CPU: 8 MB stay in its cache
_ROWS = 256  # at least, so that the products are large enough
_CACHED_CUDA = 2**26


class CrossEntropy(NamedTuple):
    """Summed over N tokens."""

    nats: Tensor  # [] negative log-likelihood
    smoothed_nats: Tensor  # [] cross-entropy against the smoothed target, which is what has a
    # gradient; the same as nats without smoothing


def linear_cross_entropy(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, smoothing: float = 0.0
) -> CrossEntropy:
    """inputs [N, R], weight [V, R], bias [V], labels [N]: the loss of inputs W^T + b.

    The smoothed target puts 1 - smoothing on the label and spreads the rest evenly over all V
    entries, the label included (Szegedy et al., 2016, section 7). Under autocast the products are
    made in its type; softmax and sums are float32 at least.
    """
    nats, smoothed = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        inputs, weight, bias, labels, smoothing, torch.is_grad_enabled()
    )
    return CrossEntropy(nats, smoothed) if smoothing else CrossEntropy(smoothed, smoothed)


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient of the logits is p - (1 - smoothing) [label] - smoothing / V."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        kind = _product_type(inputs)
        read, matrix = inputs.to(kind), weight.to(kind)
        needed = training and any(ctx.needs_input_grad)
        ctx.before = torch.empty_like(read) if needed else None
        ctx.weight = torch.zeros_like(weight) if needed else None
        ctx.bias = torch.zeros_like(bias) if needed and bias is not None else None
        wide = torch.promote_types(kind, torch.float32)
        nats, spread = inputs.new_zeros(2, dtype=wide).unbind(0)
        for begin in range(0, len(read), _rows(weight)):
            part = slice(begin, begin + _rows(weight))
            logits = torch.mm(read[part], matrix.t()).to(wide)  # [n, V]
            if bias is not None:
                logits += bias
            chosen = labels[part].unsqueeze(-1)  # [n, 1]
            at_label = logits.gather(-1, chosen)
            total = logits.sum() if smoothing else 0.0
            top = logits.amax(-1, keepdim=True)
            masses = logits.sub_(top).exp_()
            mass = masses.sum(-1, keepdim=True)
            normalizer = top + mass.log()  # [n, 1]
            nats = nats + (normalizer - at_label).sum()
            spread = spread + (normalizer.sum() - total / weight.shape[0])
            if needed:
                gradient = masses.div_(mass)
                if smoothing:
                    gradient.sub_(smoothing / weight.shape[0])
                gradient.scatter_add_(
                    -1, chosen, gradient.new_full((), smoothing - 1).expand_as(chosen)
                )
                _backward_part(ctx, part, gradient, read, matrix)
        smoothed = (1 - smoothing) * nats + smoothing * spread if smoothing else nats.clone()
        ctx.mark_non_differentiable(nats)
        ctx.set_materialize_grads(False)
        return nats, smoothed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None, scale: Tensor | None) -> tuple[Tensor | None, ...]:
        if scale is None:
            return (None,) * 6
        parts = (ctx.before, ctx.weight, ctx.bias)
        return *(None if part is None else part * scale for part in parts), None, None, None


def _backward_part(ctx: Any, part: slice, gradient: Tensor, read: Tensor, matrix: Tensor) -> None:
    """Take the logits' gradient [n, V] back to inputs, weight and bias."""
    if ctx.bias is not None:
        ctx.bias += gradient.sum(0)
    gradient = gradient.to(read.dtype)
    torch.mm(gradient, matrix, out=ctx.before[part])
    if ctx.weight.dtype == read.dtype:
        ctx.weight.addmm_(gradient.t(), read[part])
    else:
        ctx.weight += gradient.t() @ read[part]


def _rows(weight: Tensor) -> int:
    """How many rows of logits are made at a time."""
    cached = _CACHED_CUDA if weight.is_cuda else _CACHED
    return max(_ROWS, cached // weight.shape[0])


def _product_type(inputs: Tensor) -> torch.dtype:
    device = inputs.device.type
    autocast = torch.is_autocast_enabled(device) and inputs.dtype != torch.float64
    return torch.get_autocast_dtype(device) if autocast else inputs.dtype
