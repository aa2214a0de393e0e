"""Linear maps in a loop over time, whose weights' gradients are one product for all steps.

Backpropagation through a loop that calls `F.linear` makes a small product and a sum over the whole
weight at every step. Deferred until all steps are done, the same gradient is one large product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.precision import autocast_dtype


@contextmanager
def deferred_gradients() -> Iterator[None]:
    """Inside the `with` block, a loop over time, `deferrable_linear` defers gradients.

    Autocast then casts each weight once. Weights must not change inside the block.
    """
    token = _active.set(_LoopWeights())
    try:
        yield
    finally:
        _active.reset(token)


def deferrable_linear(inputs: Tensor, weight: Tensor, addend: Tensor | None = None) -> Tensor:
    """x W^T + b. inputs [..., I], weight [G, I], addend [G] or [..., G] -> [..., G]"""
    weights = _active.get()
    if weights is None:
        return _linear(inputs, weight, addend)
    return weights.linear(inputs, weight, addend)


class DeferredGradLinear:
    """y = x W^T + b, or y = addend + x W^T, with one weight for the length of one loop.

    Create it before its first step and call it at every step. Without gradients it is `F.linear`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """weight [G, I], bias [G]"""
        dtype = autocast_dtype(weight)
        self._weight = weight.to(dtype)
        self._bias = None if bias is None else bias.to(dtype)
        self._steps = _Steps() if _needs_gradient(weight) else None
        if self._steps is not None:
            self._anchor = _Anchor.apply(self._weight, self._bias, self._steps)  # type: ignore[no-untyped-call]
            self._weight = self._weight.detach()
            self._bias = None if self._bias is None else self._bias.detach()

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        """inputs [..., I], addend [..., G], where there is no bias -> [..., G]"""
        addend = self._bias if addend is None else addend
        if self._steps is None:
            return _linear(inputs, self._weight, addend)
        return _Step.apply(inputs, addend, self._weight, self._anchor, self._steps)  # type: ignore[no-any-return, no-untyped-call]


class _LoopWeights:
    """The weights that were used in one loop so far."""

    def __init__(self) -> None:
        self._maps: dict[Any, DeferredGradLinear] = {}  # by memory
        self._kept: list[tuple[Tensor, Tensor | None]] = []  # so that nothing else gets that memory

    def linear(self, inputs: Tensor, weight: Tensor, addend: Tensor | None) -> Tensor:
        bias = addend if addend is not None and addend.dim() == 1 else None
        key = _key(weight), None if bias is None else _key(bias)
        if key not in self._maps:
            self._maps[key] = DeferredGradLinear(weight, bias)
            self._kept.append((weight, bias))
        return self._maps[key](inputs, addend if bias is None else None)


_active: ContextVar[_LoopWeights | None] = ContextVar("loop_weights", default=None)


class _Steps:
    """The factors of the weight's gradient, collected step by step in a backward pass."""

    def __init__(self) -> None:
        self._backward_pass: int | None = None
        self._inputs: list[Tensor] = []  # [n, I] each
        self._gradients: list[Tensor] = []  # [n, G] each

    def add(self, inputs: Tensor, gradient: Tensor) -> None:
        """A step's factors. A backward pass that needs no gradient of the weight leaves its own."""
        backward_pass = torch._C._current_graph_task_id()
        if backward_pass != self._backward_pass:
            self._backward_pass, self._inputs, self._gradients = backward_pass, [], []
        self._inputs.append(inputs)
        self._gradients.append(gradient)

    def take(self) -> tuple[Tensor, Tensor] | None:
        """The factors of all steps, [n, I] and [n, G], which are then forgotten."""
        if self._backward_pass != torch._C._current_graph_task_id():
            return None
        factors = torch.cat(self._inputs), torch.cat(self._gradients)
        self._backward_pass, self._inputs, self._gradients = None, [], []
        return factors


class _Anchor(torch.autograd.Function):
    """Connects the weight to every step: autograd calls `backward` when all steps are done."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, steps: _Steps) -> Tensor:
        ctx.steps = steps
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        factors = ctx.steps.take()
        if factors is None:
            return None, None, None
        inputs, gradients = factors
        bias_gradient = gradients.sum(0) if ctx.needs_input_grad[1] else None  # [G]
        return gradients.t() @ inputs, bias_gradient, None


class _Step(torch.autograd.Function):
    """One step's product, which leaves its part of the weight's gradient to `_Anchor`."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        addend: Tensor | None,
        weight: Tensor,
        anchor: Tensor,
        steps: _Steps,
    ) -> Tensor:
        rows = inputs.to(weight.dtype).reshape(-1, weight.shape[1])  # [n, I]
        ctx.save_for_backward(rows, weight)
        ctx.steps = steps
        if addend is None:
            product = rows @ weight.t()
        else:
            addend = addend if addend.dim() == 1 else addend.reshape(-1, len(weight))
            product = torch.addmm(addend, rows, weight.t())
        return product.reshape(*inputs.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        row_gradients = gradient.reshape(-1, len(weight))  # [n, G]
        ctx.steps.add(rows, row_gradients)
        input_gradient = None
        if ctx.needs_input_grad[0]:
            input_gradient = (row_gradients @ weight).reshape(*gradient.shape[:-1], -1)
        addend_gradient = gradient if ctx.needs_input_grad[1] else None
        return input_gradient, addend_gradient, None, None, None


def _linear(inputs: Tensor, weight: Tensor, addend: Tensor | None) -> Tensor:
    if addend is None or addend.dim() == 1:
        return F.linear(inputs, weight, addend)
    return addend + F.linear(inputs, weight)


def _needs_gradient(weight: Tensor) -> bool:
    return torch.is_grad_enabled() and weight.requires_grad


def _key(weight: Tensor) -> tuple[int | bool, ...]:
    """Equal for equal parts of the same memory, which are one weight, sliced anew at every step."""
    return weight.data_ptr(), _needs_gradient(weight), *weight.shape, *weight.stride()
