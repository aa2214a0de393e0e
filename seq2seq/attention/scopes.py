"""Scopes: which part of memory a query may look at, beyond what is real.

Positions count from 1, as in Luong et al. (2015), section 3.2: step t of the queries, place s of
the keys, S keys that are real.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.scores import glorot


class Window(NamedTuple):
    """The part of memory that is in scope."""

    mask: Tensor  # [..., M, N] bool
    prior: Tensor | None  # [..., M, N] what the weights are multiplied by, after the softmax


class Scope(nn.Module, ABC):
    @abstractmethod
    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        """query [..., M, D], steps [..., M] from 1, lengths S [..., 1] or [..., M], N = width"""


class LocalMonotonic(Scope):
    """local-m of Luong et al. (2015): p_t = t; only |s - p_t| <= D is looked at.

    Past the end of the source p_t stays at S, as in the published code.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__()
        self.window = _checked(window)

    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        centre = steps.minimum(lengths).unsqueeze(-1)  # p_t [..., M, 1]
        return Window((_places(width, query.device) - centre).abs() <= self.window, None)


class LocalPredictive(Scope):
    """local-p of Luong et al. (2015), section 3.2, equations 9 and 10.

    p_t = S sigmoid(v^T tanh(W q)); only |s - p_t| <= D is looked at, and the weights are
    multiplied by exp(-(s - p_t)^2 / (2 sigma^2)), sigma = D / 2. As published, they are not shared
    out again: a row sums to at most 1.
    """

    def __init__(
        self, *, query_size: int, size: int, window: int, heads: int | None = None
    ) -> None:
        super().__init__()
        self.window = _checked(window)
        self.weight = nn.Parameter(glorot(heads, size, query_size))  # W [A, D]
        self.reduction = nn.Parameter(glorot(heads, 1, size))  # v^T [1, A]

    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        hidden = torch.tanh(query @ self.weight.transpose(-1, -2))  # [..., M, A]
        share = torch.sigmoid(hidden @ self.reduction.transpose(-1, -2))  # [..., M, 1]
        # Half precision cannot count a long source: places are float32 at least.
        exact = share.to(torch.promote_types(share.dtype, torch.float32))
        places = _places(width, query.device)
        distance = places - lengths.unsqueeze(-1) * exact  # s - p_t [..., M, N]
        sigma = self.window / 2
        prior = torch.exp(-distance.square() / (2 * sigma**2))
        return Window(distance.abs() <= self.window, prior.to(query.dtype))


def _places(width: int, device: torch.device) -> Tensor:
    """s = 1, ..., N"""
    return torch.arange(1, width + 1, device=device)


def _checked(window: int) -> int:
    if window < 1:
        raise ValueError(f"a window of {window} holds nothing around its centre; 1 is the least")
    return window
