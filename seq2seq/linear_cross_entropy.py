"""The output layer and its loss as one: logits are made, read once and gone, a part at a time.

A batch has tens of millions of logits. Here as many rows as stay in cache are made at a time; from
them come the loss and at once its gradients, so that no logit is written to memory and read again.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.precision import working_type

_CACHED = 2**21  # logits made at a time on a CPU: 8 MB stay in its cache
_ROWS = 256  # at least, so that the products are large enough
_CACHED_CUDA = 2**26
_GATHERED = 2**25  # entries of the logits' gradient kept for one product, in bfloat16: 64 MB
_ALIGNED = 64  # rows of a product in bfloat16: one of a new shape is prepared for longer


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
        kind = working_type(inputs)
        read, matrix = inputs.to(kind), weight.to(kind)
        needed = training and any(ctx.needs_input_grad)
        ctx.before = torch.empty_like(read) if needed else None
        ctx.weight = torch.zeros_like(weight) if needed else None
        ctx.bias = torch.zeros_like(bias) if needed and bias is not None else None
        weight_gradient = _WeightGradient(ctx.weight, read) if needed else None
        wide = torch.promote_types(kind, torch.float32)
        nats, spread = inputs.new_zeros(2, dtype=wide).unbind(0)
        for begin in range(0, len(read), _rows(weight)):
            part = slice(begin, begin + _rows(weight))
            count = len(labels[part])
            logits = torch.mm(_aligned(read[part]), matrix.t())[:count].to(wide)  # [n, V]
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
            if weight_gradient is not None:
                gradient = masses.div_(mass)
                if smoothing:
                    gradient.sub_(smoothing / weight.shape[0])
                gradient.scatter_add_(
                    -1, chosen, gradient.new_full((), smoothing - 1).expand_as(chosen)
                )
                if ctx.bias is not None:
                    ctx.bias += gradient.sum(0)
                rounded = weight_gradient.add(gradient, read[part])
                ctx.before[part] = torch.mm(_aligned(rounded), matrix)[:count]
        if weight_gradient is not None:
            weight_gradient.flush()
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


class _WeightGradient:
    """The sum of g^T x over all rows, in the weight's type.

    A product in bfloat16 cannot be added to a float32 sum on the way, and an addition reads and
    writes the whole weight: there the logits' gradients are gathered for few large products.
    """

    def __init__(self, total: Tensor, read: Tensor) -> None:
        """total [V, R], which is added to, and all rows that are read [N, R]"""
        self._total = total
        self._gathers = total.dtype != read.dtype
        rows = min(_up(len(read), _ROWS), max(_ROWS, _GATHERED // len(total)))
        rows = rows if self._gathers else 0
        self._gradients = read.new_empty(rows, len(total))
        self._inputs = read.new_empty(rows, read.shape[1])
        self._filled = 0

    def add(self, gradient: Tensor, inputs: Tensor) -> Tensor:
        """gradient [n, V], inputs [n, R]; returns the gradient in the type of products."""
        if not self._gathers:
            self._total.addmm_(gradient.t(), inputs)
            return gradient
        if self._filled + len(inputs) > len(self._inputs):
            self.flush()
        place = slice(self._filled, self._filled + len(inputs))
        self._inputs[place] = inputs
        self._filled = place.stop
        return self._gradients[place].copy_(gradient)

    def flush(self) -> None:
        if self._filled:
            rows = min(_up(self._filled, _ROWS), len(self._inputs))
            filled = slice(rows)
            self._gradients[self._filled : rows] = 0
            self._inputs[self._filled : rows] = 0
            self._total += self._gradients[filled].t() @ self._inputs[filled]
        self._filled = 0


def _rows(weight: Tensor) -> int:
    """How many rows of logits are made at a time."""
    cached = _CACHED_CUDA if weight.is_cuda else _CACHED
    return max(_ROWS, cached // weight.shape[0] // _ALIGNED * _ALIGNED)


def _aligned(rows: Tensor) -> Tensor:
    """With rows of zeros up to a number that products are prepared for already. [n, ...]"""
    if rows.dtype != torch.bfloat16 or rows.is_cuda:
        return rows
    return F.pad(rows, (0, 0, 0, -len(rows) % _ALIGNED))


def _up(count: int, multiple: int) -> int:
    return count + -count % multiple
