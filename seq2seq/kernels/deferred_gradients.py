"""A linear map used at every step of a loop, whose weight's gradient is one product for all steps.

Backpropagation through a loop that calls `F.linear` makes a small product and a sum over the whole
weight at every step. Deferred until all steps are done, the same gradient is one large product.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.dropout import keep_mask
from seq2seq.kernels.precision import autocast_dtype
from seq2seq.kernels.products import active_products


class DeferredGradLinear:
    """y = x W^T, or y = addend + x W^T, with one weight for the length of one unroll.

    Create it before the loop and call it at every step. Without gradients it is `F.linear`.
    `dropout` drops entries of x, the same at every step (Gal & Ghahramani, 2016, section 4).

    Recurrent cells use it: without it an update takes 2 to 4 % longer (Luong, Bahdanau and
    conditional order, one thread, batches of 700 and 1,344 target tokens, 2026-11-28).
    """

    def __init__(self, weight: Tensor, *, dropout: float = 0.0) -> None:
        """weight [G, I]"""
        self._dropout = dropout
        self._mask: Tensor | None = None
        self._weight = weight.to(autocast_dtype(weight))
        self._steps = _Steps() if torch.is_grad_enabled() and weight.requires_grad else None
        if self._steps is not None:
            self._anchor = _Anchor.apply(self._weight, self._steps)  # type: ignore[no-untyped-call]
            self._weight = self._weight.detach()

    def __call__(self, inputs: Tensor, addend: Tensor | None = None) -> Tensor:
        """inputs [..., I], addend [..., G] -> [..., G]"""
        if self._dropout:
            if self._mask is None:
                self._mask = keep_mask(list(inputs.shape), self._dropout, inputs)
            inputs = inputs * self._mask
        if self._steps is None:
            if (products := active_products()) is not None:
                return products.linear(inputs, self._weight, addend)
            product = F.linear(inputs, self._weight)
            return product if addend is None else addend + product
        return _Step.apply(inputs, addend, self._weight, self._anchor, self._steps)  # type: ignore[no-any-return, no-untyped-call]


class _Steps:
    """The factors of the weight's gradient, collected step by step in the backward pass."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []  # [n, I] each
        self.gradients: list[Tensor] = []  # [n, G] each


class _Anchor(torch.autograd.Function):
    """Connects the weight to every step: autograd calls `backward` when all steps are done."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, steps: _Steps) -> Tensor:
        ctx.steps = steps
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor | None, None]:
        steps: _Steps = ctx.steps
        if not steps.inputs:
            return None, None
        inputs, gradients = torch.cat(steps.inputs), torch.cat(steps.gradients)
        steps.inputs, steps.gradients = [], []
        return gradients.t() @ inputs, None  # [G, I]


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
        inputs = inputs.to(weight.dtype)
        ctx.save_for_backward(inputs, weight)
        ctx.steps = steps
        if addend is not None and inputs.dim() == 2:
            return torch.addmm(addend, inputs, weight.t())
        product = F.linear(inputs, weight)
        return product if addend is None else addend + product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        ctx.steps.inputs.append(inputs.reshape(-1, inputs.shape[-1]))
        ctx.steps.gradients.append(gradient.reshape(-1, gradient.shape[-1]))
        input_gradient = gradient @ weight if ctx.needs_input_grad[0] else None
        addend_gradient = gradient if ctx.needs_input_grad[1] else None
        return input_gradient, addend_gradient, None, None, None
