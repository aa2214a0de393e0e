"""The output layer and its loss as one: logits are made, read once and gone.

A batch has tens of millions of logits. Large products make them; then as many rows as stay in cache
are read at a time, and from them come the loss and at once, in their place, its gradients.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.precision import autocast_dtype

_CACHED = 2**20  # logits read at a time on a CPU: 4 MB stay in its cache
_CACHED_CUDA = 2**26
_MADE = 2**25  # logits made at a time: products are as large as memory allows, 64 or 128 MB
_ALIGNED = 64  # rows of a product: the library prepares itself for every number that is new


class CrossEntropy(NamedTuple):
    """Summed over N tokens."""

    nats: Tensor  # [] negative log-likelihood
    smoothed_nats: Tensor  # [] cross-entropy against the smoothed target, which is what has a
    # gradient; the same as nats without smoothing


def linear_cross_entropy(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    smoothing: float = 0.0,
    agreement: float = 0.0,
    real: Tensor | None = None,
) -> CrossEntropy:
    """inputs [N, R] or [K, N, R], weight [V, R], bias [V], labels [N]: the loss of inputs W^T + b.

    K is 1 or 2 readings. Of the N tokens only those count where `real` [N] is True, if it is given.

    The smoothed target puts 1 - smoothing on the label and spreads the rest evenly over all V
    entries, the label included (Szegedy et al., 2016, section 7). Under autocast the products are
    made in its type; softmax and sums are float32 at least.

    Of two readings of the same tokens the loss is the mean, and what is trained has half of
    agreement / 2 (KL(p_1 || p_2) + KL(p_2 || p_1)) added: R-Drop (Liang et al., 2021, equations 2
    to 4), halved.
    """
    readings = inputs if inputs.dim() == 3 else inputs.unsqueeze(0)
    nats, smoothed = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        readings, weight, bias, labels, smoothing, agreement, real, torch.is_grad_enabled()
    )
    if len(readings) > 1:
        nats, smoothed = nats / len(readings), smoothed / len(readings)
    same = not smoothing and not agreement
    return CrossEntropy(smoothed if same else nats, smoothed)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        agreement: float,
        real: Tensor | None,
        training: bool,
    ) -> tuple[Tensor, Tensor]:
        kind = autocast_dtype(inputs)
        read, matrix = inputs.to(kind), weight.to(kind)
        needed = training and any(ctx.needs_input_grad)
        ctx.before = torch.empty_like(read) if needed else None
        ctx.weight = ctx.bias = None
        loss = _Loss(bias, smoothing, agreement, vocabulary=weight.shape[0], like=read)
        count = len(read)
        for part in _parts(len(labels), _rows_made(weight) // count):
            expected = labels[part]
            counted = None if real is None else real[part].unsqueeze(-1)  # [n, 1]
            size = count * len(expected)
            rows = _aligned(read[:, part].reshape(size, -1))
            made = torch.mm(rows, matrix.t())  # [n, V]; rows of zeros stay so
            logits = made[:size].view(count, len(expected), -1)
            for cached in _parts(len(expected), _rows_read(weight) // count):
                loss.read(
                    logits[:, cached],
                    expected[cached],
                    None if counted is None else counted[cached],
                    with_gradient=needed,
                )
            if needed:  # the logits are gradients now
                ctx.before[:, part] = torch.mm(made, matrix)[:size].view(count, len(expected), -1)
                ctx.weight = _added(ctx.weight, made, rows, weight.dtype)
        ctx.bias = loss.bias_gradient if needed else None
        ctx.mark_non_differentiable(loss.nats)
        ctx.set_materialize_grads(False)
        return loss.nats, loss.smoothed()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: None, scale: Tensor | None) -> tuple[Tensor | None, ...]:
        if scale is None:
            return (None,) * 8
        parts = (ctx.before, ctx.weight, ctx.bias)
        return *(None if part is None else part * scale for part in parts), *(None,) * 5


class _Loss:
    """The sums over all rows that are read."""

    def __init__(
        self,
        bias: Tensor | None,
        smoothing: float,
        agreement: float,
        *,
        vocabulary: int,
        like: Tensor,
    ) -> None:
        self._bias = bias
        self._smoothing = smoothing
        self._agreement = agreement
        self._vocabulary = vocabulary
        self._wide = torch.promote_types(like.dtype, torch.float32)
        self._space: Tensor | None = None
        self.nats, self._spread, self._apart = like.new_zeros(3, dtype=self._wide).unbind(0)
        self.bias_gradient = None if bias is None else torch.zeros_like(bias)

    def smoothed(self) -> Tensor:
        share = self._smoothing
        trained = (1 - share) * self.nats + share * self._spread if share else self.nats.clone()
        return trained + self._agreement / 2 * self._apart if self._agreement else trained

    def read(
        self, logits: Tensor, labels: Tensor, real: Tensor | None, *, with_gradient: bool
    ) -> None:
        """logits [K, n, V] without bias, labels [n], real [n, 1] bool; the gradient, if any, takes
        the logits' place.

        It is p - (1 - smoothing) [label] - smoothing / V, and what agreement adds to it.
        """
        wide = self._widened(logits)
        if self._bias is not None:
            wide += self._bias
        chosen = labels.expand(len(wide), -1).unsqueeze(-1)  # [K, n, 1]
        at_label = wide.gather(-1, chosen)
        total = _total(wide, real) if self._smoothing else 0.0
        between = wide[0] - wide[1] if self._agreement else None
        top = wide.amax(-1, keepdim=True)
        masses = wide.sub_(top).exp_()
        mass = masses.sum(-1, keepdim=True)
        normalizer = top + mass.log()  # [K, n, 1]
        self.nats = self.nats + _total(normalizer - at_label, real)
        self._spread = self._spread + (_total(normalizer, real) - total / self._vocabulary)
        if between is None and not with_gradient:
            return
        gradient = masses.div_(mass)
        if between is not None:
            between -= normalizer[0] - normalizer[1]
            apart, pull = _divergence(gradient, between, real)
            self._apart = self._apart + apart
            gradient.add_(pull, alpha=self._agreement / 2)
        if not with_gradient:
            return
        if self._smoothing:
            gradient.sub_(self._smoothing / self._vocabulary)
        at_labels = gradient.new_full((), self._smoothing - 1).expand_as(chosen)
        gradient.scatter_add_(-1, chosen, at_labels)
        if real is not None:
            gradient.mul_(real)
        if self.bias_gradient is not None:
            self.bias_gradient += gradient.sum((0, 1))
        if gradient is not logits:
            logits.copy_(gradient)

    def _widened(self, logits: Tensor) -> Tensor:
        """The logits in the type of sums, in a place that is used again and again."""
        if logits.dtype == self._wide:
            return logits
        if self._space is None or self._space.shape[1] < logits.shape[1]:
            self._space = logits.new_empty(logits.shape, dtype=self._wide)
        return self._space[:, : logits.shape[1]].copy_(logits)


def _total(values: Tensor, real: Tensor | None) -> Tensor:
    """The sum over all rows that count. values [..., n, D], real [n, 1] -> []"""
    return values.sum() if real is None else (values * real).sum()


def _divergence(chances: Tensor, between: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    """KL(p_1 || p_2) + KL(p_2 || p_1), summed, and its gradient with respect to the logits.

    chances [2, n, V], between [n, V]: log p_1 - log p_2, real [n, 1] -> [], [2, n, V]
    """
    one, other = chances.unbind(0)
    forth = (one * between).sum(-1, keepdim=True)  # [n, 1]
    back = -(other * between).sum(-1, keepdim=True)
    difference = one - other
    pull = torch.stack(
        [one * (between - forth) + difference, other * (-between - back) - difference]
    )
    return _total(forth, real) + _total(back, real), pull


def _added(total: Tensor | None, gradient: Tensor, inputs: Tensor, kind: torch.dtype) -> Tensor:
    """total + g^T x, in the weight's type. total [V, R], g [n, V], x [n, R]"""
    if total is None:
        return torch.mm(gradient.t(), inputs).to(kind)
    if gradient.dtype == kind:
        return total.addmm_(gradient.t(), inputs)
    return total.add_(torch.mm(gradient.t(), inputs))


def _parts(rows: int, at_a_time: int) -> Iterator[slice]:
    return (slice(begin, begin + at_a_time) for begin in range(0, rows, at_a_time))


def _rows_read(weight: Tensor) -> int:
    """How many rows of logits are read at a time."""
    cached = _CACHED_CUDA if weight.is_cuda else _CACHED
    return max(_ALIGNED, cached // weight.shape[0] // _ALIGNED * _ALIGNED)


def _rows_made(weight: Tensor) -> int:
    """How many rows of logits are made at a time."""
    return max(_rows_read(weight), _MADE // weight.shape[0] // _ALIGNED * _ALIGNED)


def _aligned(rows: Tensor) -> Tensor:
    """With rows of zeros up to a number that products are prepared for already. [n, ...]"""
    if rows.dtype != torch.bfloat16 or rows.is_cuda:
        return rows
    return F.pad(rows, (0, 0, 0, -len(rows) % _ALIGNED))
