"""The readout: what the output layer reads at a step."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq.kernels.deferred_gradients import DeferredGradLinear


class Readout(nn.Module):
    """g([s ; c ; E y]) of state, context and embedding; a part of size 0 is not read.

    tanh: tanh(W [...]), the attentional vector of Luong et al. (2015), equation 5. maxout: the
    larger of two linear units, pairs (2k-1, 2k), Bahdanau et al. (2015), appendix A.2.2, after
    Goodfellow et al. (2013). none: the parts themselves; the output layer is all that follows.
    """

    def __init__(
        self,
        *,
        state_size: int,
        context_size: int = 0,
        embedding_size: int = 0,
        size: int,
        kind: Literal["tanh", "maxout", "none"] = "tanh",
        bias: bool = True,
    ) -> None:
        super().__init__()
        joined = state_size + context_size + embedding_size
        self.kind = kind
        self.reads_context = context_size > 0
        self.reads_embedding = embedding_size > 0
        self.size = joined if kind == "none" else size
        units = {"tanh": size, "maxout": 2 * size, "none": 0}[kind]
        self.linear = nn.Linear(joined, units, bias=bias) if units else None

    def forward(self, state: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        """[..., H], [..., C], [..., E] -> [..., R]"""
        joined = self._joined(state, context, embedded)
        return joined if self.linear is None else self._activated(self.linear(joined))

    def looped(self) -> Callable[[Tensor, Tensor | None, Tensor], Tensor]:
        """The same for the length of one unroll, as `DeferredGradLinear`."""
        if self.linear is None:
            return self
        linear, bias = DeferredGradLinear(self.linear.weight), self.linear.bias

        def step(state: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
            made = linear(self._joined(state, context, embedded))
            return self._activated(made if bias is None else made + bias)

        return step

    def _joined(self, state: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        parts = [state]
        if self.reads_context:
            assert context is not None
            parts.append(context)
        if self.reads_embedding:
            parts.append(embedded)
        return torch.cat(parts, dim=-1)

    def _activated(self, units: Tensor) -> Tensor:
        if self.kind == "tanh":
            return torch.tanh(units)
        return units.reshape(*units.shape[:-1], self.size, 2).amax(-1)  # of [..., 2R]
