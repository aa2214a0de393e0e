"""Scopes: which positions of memory a query may attend to, besides the mask.

Positions count from 1, as in Luong et al. (2015), section 3.2: step t of the queries, position s of
the keys. S_b is the number of keys of a sequence without padding; there are S positions in all.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.scores import glorot
from seq2seq.kernels.deferred_gradients import linear_map


class Window(NamedTuple):
    """The positions that are in scope."""

    mask: Tensor  # [..., L, S] bool
    prior: Tensor | None  # [..., L, S] a factor of the weights, after the softmax


class Scope(nn.Module, ABC):
    """Chooses a window of memory for each query."""

    @abstractmethod
    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        """query [..., L, D], steps [..., L] from 1, lengths S_b [..., 1] or [..., L], S = width"""


class LocalMonotonic(Scope):
    """local-m of Luong et al. (2015): p_t = t; only |s - p_t| <= D is in scope, D the window.

    Past the end of the source p_t stays at S_b, as in the published code.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__()
        self.window = _checked(window)

    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        centre = steps.minimum(lengths).unsqueeze(-1)  # p_t [..., L, 1]
        return Window((_positions(width, query.device) - centre).abs() <= self.window, None)


class LocalPredictive(Scope):
    """local-p of Luong et al. (2015), section 3.2, equations 9 and 10.

    p_t = S_b sigmoid(v^T tanh(W q)); only |s - p_t| <= D is in scope, D the window, and the weights
    are multiplied by exp(-(s - p_t)^2 / (2 sigma^2)), sigma = D / 2. As published, they are not
    normalised again: a row sums to at most 1.
    """

    def __init__(
        self, *, query_size: int, size: int, window: int, heads: int | None = None
    ) -> None:
        super().__init__()
        self.window = _checked(window)
        self.weight = nn.Parameter(glorot(heads, size, query_size))  # W [A, D]
        self.reduction = nn.Parameter(glorot(heads, 1, size))  # v^T [1, A]

    def forward(self, query: Tensor, steps: Tensor, lengths: Tensor, width: int) -> Window:
        hidden = torch.tanh(linear_map(query, self.weight))  # [..., L, A]
        fraction = torch.sigmoid(hidden @ self.reduction.transpose(-1, -2))  # [..., L, 1]
        # Half precision cannot count a long source: positions are float32 at least.
        exact = fraction.to(torch.promote_types(fraction.dtype, torch.float32))
        positions = _positions(width, query.device)
        distance = positions - lengths.unsqueeze(-1) * exact  # s - p_t [..., L, S]
        sigma = self.window / 2
        prior = torch.exp(-distance.square() / (2 * sigma**2))
        return Window(distance.abs() <= self.window, prior.to(query.dtype))


def _positions(width: int, device: torch.device) -> Tensor:
    """s = 1, ..., S"""
    return torch.arange(1, width + 1, device=device)


def _checked(window: int) -> int:
    if window < 1:
        raise ValueError(f"a window of {window} holds nothing around its centre; 1 is the least")
    return window
