"""Output layer and cross-entropy in one, without keeping the logits.

A batch has tens of millions of logits. They are computed in large matrix products, then reduced in
cache-sized blocks of rows, each overwritten at once by its gradient.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.logit_bias import LogitBias
from seq2seq.kernels.precision import autocast_dtype

_BLOCK = 2**20  # logits reduced at a time on a CPU: 4 MB stay in its cache
_BLOCK_CUDA = 2**26
_CHUNK = 2**25  # logits in one matrix product, 64 or 128 MB: the larger, the faster
_ALIGNED = 64  # rows of a bfloat16 product: the library prepares itself for each new number of rows
_ALIGNED_COLUMNS = 16  # of a float32 product


class CrossEntropy(NamedTuple):
    """Summed over P tokens."""

    nll: Tensor  # [] negative log-likelihood in nats; has no gradient
    smoothed: Tensor  # [] cross-entropy against the smoothed target; equals nll without smoothing


def linear_cross_entropy(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    smoothing: float = 0.0,
    mask: Tensor | None = None,
    logit_bias: LogitBias | None = None,
) -> CrossEntropy:
    """The loss of the logits inputs W^T + b. inputs [P, O], weight [V, O], bias [V], labels [P]

    `logit_bias`, of some of the V logits for each of the P rows, is added to them, if it is given.

    Only tokens where `mask` [P] is True count, if it is given. The smoothed target puts
    1 - smoothing on the label and spreads the rest evenly over all V entries, the label included
    (Szegedy et al., 2016, section 7). Under autocast the matrix products are made in its dtype;
    softmax and sums are float32 at least.
    """
    nll, smoothed = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        inputs, weight, bias, labels, smoothing, mask, torch.is_grad_enabled(), *(logit_bias or ())
    )
    return CrossEntropy(nll if smoothing else smoothed, smoothed)


class _LinearCrossEntropy(torch.autograd.Function):
    """The forward pass computes the gradients too, since it has the logits at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        mask: Tensor | None,
        grad_enabled: bool,
        columns: Tensor | None = None,
        values: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        dtype = autocast_dtype(inputs)
        cast_inputs, cast_weight = inputs.to(dtype), weight.to(dtype)
        needs_gradient = grad_enabled and any(ctx.needs_input_grad)
        ctx.input_gradient = torch.empty_like(cast_inputs) if needs_gradient else None
        ctx.weight_gradient = ctx.bias_gradient = None
        ctx.value_gradient = None
        if values is not None and needs_gradient:
            ctx.value_gradient = torch.empty_like(values)
        loss = _SmoothedLoss(bias, smoothing, vocabulary=weight.shape[0], like=cast_inputs)
        aligned_weight = _aligned_columns(cast_weight)
        for chunk in _slices(len(labels), _chunk_rows(weight)):
            expected = labels[chunk]
            chunk_mask = None if mask is None else mask[chunk].unsqueeze(-1)  # [n, 1]
            rows = _aligned(cast_inputs[chunk])
            logits = torch.mm(rows, aligned_weight.t())  # [n or more, V or more]
            logits = logits[:, : len(weight)]  # rows of zeros stay zeros
            own = logits[: len(expected)]
            if columns is not None and values is not None:
                LogitBias(columns[chunk], values[chunk]).add_to(own)
            for block in _slices(len(expected), _block_rows(weight)):
                loss.add(
                    own[block],
                    expected[block],
                    None if chunk_mask is None else chunk_mask[block],
                    with_gradient=needs_gradient,
                )
            if needs_gradient:  # the logits have been overwritten by their gradients
                if ctx.value_gradient is not None and columns is not None:
                    ctx.value_gradient[chunk] = own.gather(-1, columns[chunk])
                ctx.input_gradient[chunk] = torch.mm(logits, cast_weight)[: len(expected)]
                ctx.weight_gradient = _accumulated(ctx.weight_gradient, logits, rows, weight.dtype)
        if needs_gradient and ctx.weight_gradient is None:  # no token: the gradient is 0
            ctx.weight_gradient = torch.zeros_like(weight)
        ctx.bias_gradient = loss.bias_gradient if needs_gradient else None
        ctx.mark_non_differentiable(loss.nll)
        ctx.set_materialize_grads(False)
        return loss.nll, loss.smoothed()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None, scale: Tensor | None) -> tuple[Tensor | None, ...]:
        if scale is None:
            return (None,) * 9
        gradients = (ctx.input_gradient, ctx.weight_gradient, ctx.bias_gradient, ctx.value_gradient)
        *first, of_values = (None if each is None else each * scale for each in gradients)
        return *first, *(None,) * 5, of_values


class _SmoothedLoss:
    """Loss sums over all blocks of logits added so far."""

    def __init__(
        self, bias: Tensor | None, smoothing: float, *, vocabulary: int, like: Tensor
    ) -> None:
        self._bias = bias
        self._smoothing = smoothing
        self._vocabulary = vocabulary
        self._dtype = torch.promote_types(like.dtype, torch.float32)
        self._buffer: Tensor | None = None
        self.nll, self._uniform = like.new_zeros(2, dtype=self._dtype).unbind(0)
        self.bias_gradient = None if bias is None else torch.zeros_like(bias)

    def smoothed(self) -> Tensor:
        """(1 - smoothing) nll + smoothing times the cross-entropy against a uniform target."""
        share = self._smoothing
        return (1 - share) * self.nll + share * self._uniform if share else self.nll.clone()

    def add(
        self, logits: Tensor, labels: Tensor, mask: Tensor | None, *, with_gradient: bool
    ) -> None:
        """Add a block. logits [n, V] without bias, labels [n], mask [n, 1] bool

        With `with_gradient` the logits are overwritten by their gradient,
        p - (1 - smoothing) [label] - smoothing / V.
        """
        scores = self._widened(logits)
        if self._bias is not None:
            scores += self._bias
        columns = labels.unsqueeze(-1)  # [n, 1]
        at_label = scores.gather(-1, columns)
        total = _masked_sum(scores, mask) if self._smoothing else 0.0
        top = scores.amax(-1, keepdim=True)
        exponentials = scores.sub_(top).exp_()
        partition = exponentials.sum(-1, keepdim=True)
        log_partition = top + partition.log()  # [n, 1]
        self.nll = self.nll + _masked_sum(log_partition - at_label, mask)
        self._uniform = self._uniform + (
            _masked_sum(log_partition, mask) - total / self._vocabulary
        )
        if not with_gradient:
            return
        gradient = exponentials.div_(partition)
        if self._smoothing:
            gradient.sub_(self._smoothing / self._vocabulary)
        at_labels = gradient.new_full((), self._smoothing - 1).expand_as(columns)
        gradient.scatter_add_(-1, columns, at_labels)
        if mask is not None:
            gradient.mul_(mask)
        if self.bias_gradient is not None:
            self.bias_gradient += gradient.sum(0)
        if gradient is not logits:
            logits.copy_(gradient)

    def _widened(self, logits: Tensor) -> Tensor:
        """The logits in the dtype of the sums, in a buffer that every block uses."""
        if logits.dtype == self._dtype:
            return logits
        if self._buffer is None or len(self._buffer) < len(logits):
            self._buffer = logits.new_empty(logits.shape, dtype=self._dtype)
        return self._buffer[: len(logits)].copy_(logits)


def _masked_sum(values: Tensor, mask: Tensor | None) -> Tensor:
    """The sum over the rows where the mask is True. values [n, D], mask [n, 1] -> []"""
    return values.sum() if mask is None else (values * mask).sum()


def _accumulated(
    total: Tensor | None, gradient: Tensor, inputs: Tensor, dtype: torch.dtype
) -> Tensor:
    """total + g^T x, in the weight's dtype. total [V, O], g [n, V], x [n, O]"""
    if total is None:
        return torch.mm(gradient.t(), inputs).to(dtype)
    if gradient.dtype == dtype:
        return total.addmm_(gradient.t(), inputs)
    return total.add_(torch.mm(gradient.t(), inputs))


def _slices(rows: int, size: int) -> Iterator[slice]:
    return (slice(begin, begin + size) for begin in range(0, rows, size))


def _block_rows(weight: Tensor) -> int:
    """Rows of logits that are reduced at a time."""
    block = _BLOCK_CUDA if weight.is_cuda else _BLOCK
    return max(_ALIGNED, block // weight.shape[0] // _ALIGNED * _ALIGNED)


def _chunk_rows(weight: Tensor) -> int:
    """Rows of logits in one matrix product."""
    return max(_block_rows(weight), _CHUNK // weight.shape[0] // _ALIGNED * _ALIGNED)


def _aligned_columns(weight: Tensor) -> Tensor:
    """Rows of zeros added to a float32 weight on a CPU, up to a multiple of 16. [V, O] -> [V', O]

    The product with 4,403 rows takes 1.5 times as long as that with 4,416, to the same bits.
    """
    if weight.dtype != torch.float32 or weight.is_cuda:
        return weight
    missing = -len(weight) % _ALIGNED_COLUMNS
    return F.pad(weight, (0, 0, 0, missing)) if missing else weight


def _aligned(rows: Tensor) -> Tensor:
    """Rows of zeros added for bfloat16 on a CPU, up to a multiple of `_ALIGNED`. [n, ...]"""
    if rows.dtype != torch.bfloat16 or rows.is_cuda:
        return rows
    return F.pad(rows, (0, 0, 0, -len(rows) % _ALIGNED))
