"""The readout: the input of the output layer at a step."""

from typing import Literal

import torch
from torch import Tensor, nn

from seq2seq.kernels.products import linear
from seq2seq.kernels.tanh import tanh


class Readout(nn.Module):
    """g([s ; c ; E y]) of state, context and embedding; a part of size 0 is left out.

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
        joined_size = state_size + context_size + embedding_size
        self.kind = kind
        self.has_context = context_size > 0
        self.has_embedding = embedding_size > 0
        self.size = joined_size if kind == "none" else size
        units = {"tanh": size, "maxout": 2 * size, "none": 0}[kind]
        self.linear = nn.Linear(joined_size, units, bias=bias) if units else None

    def forward(self, state: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        """[..., H], [..., M], [..., E] -> [..., O]"""
        parts = [state]
        if self.has_context:
            assert context is not None
            parts.append(context)
        if self.has_embedding:
            parts.append(embedded)
        joined = torch.cat(parts, dim=-1)
        if self.linear is None:
            return joined
        units = linear(
            joined, self.linear.weight, self.linear.bias
        )  # [..., O], or [..., 2 O] for maxout
        if self.kind == "tanh":
            return tanh(units)
        return units.reshape(*units.shape[:-1], self.size, 2).amax(-1)
