"""A linear map used at every step of a loop, whose weight's gradient is one product for all steps.

Backpropagation through a loop that calls `F.linear` makes a small product and a sum over the whole
weight at every step. Kept until the loop is done, the same gradient is one large product.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seq2seq.kernels.dropout import keep_mask
from seq2seq.kernels.precision import autocast_dtype


class DeferredGradLinear:
    """x W^T with one weight, for the length of one unroll: y = x W^T, or given + x W^T.

    Make it where the loop begins, call it at every step. Without gradients it is `F.linear`.
    `dropout` drops entries of x, the same at every step (Gal & Ghahramani, 2016, section 4).
    """

    def __init__(self, weight: Tensor, *, dropout: float = 0.0) -> None:
        """weight [O, I]"""
        self._dropout = dropout
        self._mask: Tensor | None = None
        self._weight = weight.to(autocast_dtype(weight))
        self._uses = _Uses() if torch.is_grad_enabled() and weight.requires_grad else None
        if self._uses is not None:
            self._shared = _Shared.apply(self._weight, self._uses)  # type: ignore[no-untyped-call]
            self._weight = self._weight.detach()

    def __call__(self, inputs: Tensor, given: Tensor | None = None) -> Tensor:
        """inputs [..., I], given [..., O] -> [..., O]"""
        if self._dropout:
            if self._mask is None:
                self._mask = keep_mask(list(inputs.shape), self._dropout, inputs)
            inputs = inputs * self._mask
        if self._uses is None:
            made = F.linear(inputs, self._weight)
            return made if given is None else given + made
        return _Use.apply(inputs, given, self._weight, self._shared, self._uses)  # type: ignore[no-any-return, no-untyped-call]


class DeferredGradMatmul:
    """x M with a matrix for each sentence, for one unroll; see `DeferredGradLinear`."""

    def __init__(self, matrices: Tensor) -> None:
        """matrices [..., I, O]"""
        self._matrices = matrices.to(autocast_dtype(matrices))
        self._uses = _Uses() if torch.is_grad_enabled() and matrices.requires_grad else None
        if self._uses is not None:
            self._shared = _Shared.apply(self._matrices.transpose(-1, -2), self._uses)  # type: ignore[no-untyped-call]
            self._matrices = self._matrices.detach()

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs [..., M, I] -> [..., M, O]"""
        if self._uses is None:
            return inputs @ self._matrices
        return _UseOfMatrices.apply(inputs, self._matrices, self._shared, self._uses)  # type: ignore[no-any-return, no-untyped-call]


class _Uses:
    """What a gradient is made of, gathered step by step in the backward pass."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []  # [..., n, I] each
        self.gradients: list[Tensor] = []  # [..., n, O] each


class _Shared(torch.autograd.Function):
    """What is shared, as the loop sees it: autograd comes here when all steps are gone through."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, uses: _Uses) -> Tensor:
        ctx.uses = uses
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> tuple[Tensor | None, None]:
        uses: _Uses = ctx.uses
        if not uses.inputs:
            return None, None
        inputs, gradients = torch.cat(uses.inputs, dim=-2), torch.cat(uses.gradients, dim=-2)
        uses.inputs, uses.gradients = [], []
        return gradients.transpose(-1, -2) @ inputs, None  # [..., O, I]


class _Use(torch.autograd.Function):
    """One step's product, which leaves its part of the weight's gradient to `_Shared`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, given: Tensor | None, weight: Tensor, shared: Tensor, uses: _Uses
    ) -> Tensor:
        inputs = inputs.to(weight.dtype)
        ctx.save_for_backward(inputs, weight)
        ctx.uses = uses
        if given is not None and inputs.dim() == 2:
            return torch.addmm(given, inputs, weight.t())
        made = F.linear(inputs, weight)
        return made if given is None else given + made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        ctx.uses.inputs.append(inputs.reshape(-1, inputs.shape[-1]))
        ctx.uses.gradients.append(rows)
        before = gradient @ weight if ctx.needs_input_grad[0] else None
        return before, gradient if ctx.needs_input_grad[1] else None, None, None, None


class _UseOfMatrices(torch.autograd.Function):
    """One step's products, which leave their part of the matrices' gradient to `_Shared`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, matrices: Tensor, shared: Tensor, uses: _Uses) -> Tensor:
        inputs = inputs.to(matrices.dtype)
        ctx.save_for_backward(inputs, matrices)
        ctx.uses = uses
        return inputs @ matrices

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, matrices = ctx.saved_tensors
        ctx.uses.inputs.append(inputs)
        ctx.uses.gradients.append(gradient)
        before = gradient @ matrices.transpose(-1, -2) if ctx.needs_input_grad[0] else None
        return before, None, None, None
