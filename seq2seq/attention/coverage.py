"""Coverage: a memory of where attention has looked already, shown to the next look.

Tu et al. (2016), "Modeling coverage for neural machine translation", section 3. The coverage C_j of
every source position enters the score beside its key: v^T tanh(W s + U h_j + V C_j). V C_j is added
to the prepared key, which is that same sum for "additive" and "concat", and carries it over to
every other score that reads keys.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class CoverageState:
    """Where B sentences have been looked at so far."""

    seen: Tensor  # [B, S, C]; 0 at the start
    fixed: Tensor  # [B, S, ?], what of the next update depends on memory alone

    def select(self, rows: Tensor) -> "CoverageState":
        return CoverageState(self.seen[rows], self.fixed[rows])


class Coverage(nn.Module, ABC):
    """`size` C numbers for every source position, seen by `heads` heads with keys P wide."""

    def __init__(self, *, size: int, prepared_size: int, heads: int | None = None) -> None:
        super().__init__()
        self.size = size
        self.heads = heads
        self.key = nn.Linear(size, (heads or 1) * prepared_size, bias=False)  # V

    @abstractmethod
    def start(self, values: Tensor) -> CoverageState:
        """values [B, S, M]"""

    @abstractmethod
    def update(self, state: CoverageState, weights: Tensor, query: Tensor) -> CoverageState:
        """After a look: weights [B, S], the mean of all heads; query [B, H], what asked."""

    def shift(self, state: CoverageState) -> Tensor:
        """What is added to prepared keys. -> [B, S, P], or [B, heads, S, P]"""
        shift: Tensor = self.key(state.seen)
        if self.heads is None:
            return shift
        return shift.reshape(*shift.shape[:-1], self.heads, -1).transpose(-2, -3)


class LinearCoverage(Coverage):
    """C_ij = C_{i-1,j} + a_ij / Phi_j,  Phi_j = N sigmoid(U_f h_j): equations 8 and 9.

    Phi_j, the fertility, is how many target words position j is expected to give, at most N.
    """

    def __init__(
        self,
        *,
        memory_size: int,
        prepared_size: int,
        heads: int | None = None,
        fertility: float = 2.0,
    ) -> None:
        super().__init__(size=1, prepared_size=prepared_size, heads=heads)
        self.most = fertility  # N
        self.fertility = nn.Linear(memory_size, 1, bias=False)  # U_f

    def start(self, values: Tensor) -> CoverageState:
        fertility = self.most * torch.sigmoid(self.fertility(values))  # Phi [B, S, 1]
        return CoverageState(torch.zeros_like(fertility), fertility)

    def update(self, state: CoverageState, weights: Tensor, query: Tensor) -> CoverageState:
        return CoverageState(state.seen + weights.unsqueeze(-1) / state.fixed, state.fixed)


class GRUCoverage(Coverage):
    """C_ij = GRU(C_{i-1,j}, [a_ij ; h_j ; s]), s the state that asked: equation 6, with gates.

    The paper has C 10 wide. The reset gate acts after the product, as in `GRULayer`.
    """

    def __init__(
        self,
        *,
        memory_size: int,
        query_size: int,
        prepared_size: int,
        size: int = 10,
        heads: int | None = None,
    ) -> None:
        super().__init__(size=size, prepared_size=prepared_size, heads=heads)
        self.memory = nn.Linear(memory_size, 3 * size)  # what h_j gives to r, z and n, with biases
        self.weight = nn.Linear(1, 3 * size, bias=False)  # a_ij
        self.query = nn.Linear(query_size, 3 * size, bias=False)  # s
        self.recurrent = nn.Linear(size, 3 * size)  # C_{i-1,j}

    def start(self, values: Tensor) -> CoverageState:
        seen = values.new_zeros(*values.shape[:-1], self.size)
        return CoverageState(seen, self.memory(values))

    def update(self, state: CoverageState, weights: Tensor, query: Tensor) -> CoverageState:
        inputs = state.fixed + self.weight(weights.unsqueeze(-1)) + self.query(query).unsqueeze(1)
        reset_x, update_x, new_x = inputs.chunk(3, dim=-1)  # [B, S, C] each
        reset_h, update_h, new_h = self.recurrent(state.seen).chunk(3, dim=-1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return CoverageState(new + update * (state.seen - new), state.fixed)
