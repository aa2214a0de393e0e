"""Linear maps in a loop over time, whose weights' gradients are one product for all steps.

Backpropagation through a loop that calls `F.linear` makes a small product and a sum over the whole
weight at every step. Deferred until all steps are done, the same gradient is one large product. On
a CPU the products of the steps are made with weights packed for oneDNN, where that pays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.packed_weights import OneDNNWeight, has_packed_products
from seq2seq.kernels.precision import autocast_dtype, has_bfloat16_products

_MOST_ROWS = 128  # with up to 96, products with packed weights were faster
_FEWEST_STEPS = 8  # whose products save the time that packing a weight takes
_FEWEST_STEPS_BACK = 16  # the same for its transpose


@contextmanager
def deferred_gradients(steps: int) -> Iterator[None]:
    """Inside the `with` block, a loop over time, `deferrable_linear` defers gradients.

    Autocast then casts each weight once. Weights must not change inside the block.
    steps: how many the loop has, by which weights are packed or not
    """
    token = _active.set(_LoopWeights(steps))
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


def linear_map(inputs: Tensor, weight: Tensor) -> Tensor:
    """x W^T, with one W, or one for each head.

    inputs [..., I] or [..., N, L, I], weight [G, I] or [N, G, I] -> [..., G] or [..., N, L, G]
    """
    if weight.dim() == 2:
        return deferrable_linear(inputs, weight)
    return inputs @ weight.transpose(-1, -2)


class DeferredGradLinear:
    """y = x W^T + b, or y = addend + x W^T, with one weight for the length of one loop.

    Create it before its first step and call it at every step. Without gradients it is `F.linear`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, steps: int = 1) -> None:
        """weight [G, I], bias [G], steps: of the loop"""
        dtype = autocast_dtype(weight)
        self._weight = weight.to(dtype)
        self._bias = None if bias is None else bias.to(dtype)
        self._steps = None
        if _needs_gradient(weight):
            self._steps = _Steps(_StepProducts(self._weight.detach(), steps))
            self._anchor = _Anchor.apply(self._weight, self._bias, self._steps)  # type: ignore[no-untyped-call]
            self._bias = None if self._bias is None else self._bias.detach()

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        """inputs [..., I], addend [..., G], where there is no bias -> [..., G]"""
        addend = self._bias if addend is None else addend
        if self._steps is None:
            return _linear(inputs, self._weight, addend)
        return _Step.apply(inputs, addend, self._anchor, self._steps)  # type: ignore[no-any-return, no-untyped-call]


class _LoopWeights:
    """The weights that were used in one loop so far."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._maps: dict[Any, DeferredGradLinear] = {}  # by memory
        self._kept: list[tuple[Tensor, Tensor | None]] = []  # so that nothing else gets that memory

    def linear(self, inputs: Tensor, weight: Tensor, addend: Tensor | None) -> Tensor:
        bias = addend if addend is not None and addend.dim() == 1 else None
        key = _key(weight), None if bias is None else _key(bias)
        if key not in self._maps:
            self._maps[key] = DeferredGradLinear(weight, bias, steps=self._steps)
            self._kept.append((weight, bias))
        return self._maps[key](inputs, addend if bias is None else None)


_active: ContextVar[_LoopWeights | None] = ContextVar("loop_weights", default=None)


class _StepProducts:
    """The products of the steps of a loop with one weight, packed in bfloat16 where that pays.

    With 8 rows and a packed weight [1792, 448] a product took 45 us in place of 104, and that with
    its transpose 47 in place of 115; with 96 rows 129 and 195, 130 and 212. Packing took 291 us,
    749 for the transpose. In float32 the whole update gained 1 %: it is left as it is. Intel Xeon
    with AMX, one thread, torch 2.13.0, 2026-11-29.
    """

    def __init__(self, weight: Tensor, steps: int) -> None:
        """weight [G, I]"""
        self.weight = weight
        packs = weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
        packs = packs and has_bfloat16_products("cpu") and has_packed_products()
        self._packs = packs and steps >= _FEWEST_STEPS
        self._packs_transpose = packs and steps >= _FEWEST_STEPS_BACK

    def outputs(self, rows: Tensor, addend: Tensor | None) -> Tensor:
        """x W^T + b. rows [n, I], addend [G] or [n, G] -> [n, G]"""
        if self._packs and len(rows) <= _MOST_ROWS:
            addend = None if addend is None else addend.to(rows.dtype)
            return self._packed(rows, addend)
        if addend is None:
            return rows @ self.weight.t()
        return torch.addmm(addend, rows, self.weight.t())

    def input_gradients(self, gradients: Tensor) -> Tensor:
        """g W. [n, G] -> [n, I]"""
        if self._packs_transpose and len(gradients) <= _MOST_ROWS:
            return self._packed_transpose(gradients)
        return gradients @ self.weight

    @cached_property
    def _packed(self) -> OneDNNWeight:
        return OneDNNWeight(self.weight)

    @cached_property
    def _packed_transpose(self) -> OneDNNWeight:
        return OneDNNWeight(self.weight.t())


class _Steps:
    """The factors of the weight's gradient, collected step by step in a backward pass."""

    def __init__(self, products: _StepProducts) -> None:
        self.products = products
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
        anchor: Tensor,
        steps: _Steps,
    ) -> Tensor:
        weight = steps.products.weight
        rows = inputs.to(weight.dtype).reshape(-1, weight.shape[1])  # [n, I]
        ctx.save_for_backward(rows, weight)
        ctx.steps = steps
        if addend is not None and addend.dim() > 1:
            addend = addend.reshape(-1, len(weight))
        return steps.products.outputs(rows, addend).reshape(*inputs.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        row_gradients = gradient.reshape(-1, len(weight))  # [n, G]
        ctx.steps.add(rows, row_gradients)
        input_gradient = None
        if ctx.needs_input_grad[0]:
            input_gradients = ctx.steps.products.input_gradients(row_gradients)
            input_gradient = input_gradients.reshape(*gradient.shape[:-1], -1)
        addend_gradient = gradient if ctx.needs_input_grad[1] else None
        return input_gradient, addend_gradient, None, None


def _linear(inputs: Tensor, weight: Tensor, addend: Tensor | None) -> Tensor:
    if addend is None or addend.dim() == 1:
        return F.linear(inputs, weight, addend)
    return addend + F.linear(inputs, weight)


def _needs_gradient(weight: Tensor) -> bool:
    return torch.is_grad_enabled() and weight.requires_grad


def _key(weight: Tensor) -> tuple[int | bool, ...]:
    """Equal for equal parts of the same memory, which are one weight, sliced anew at every step."""
    return weight.data_ptr(), _needs_gradient(weight), *weight.shape, *weight.stride()
