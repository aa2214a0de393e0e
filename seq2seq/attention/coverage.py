"""Coverage: how much attention each source position has received, shown to the next query.

Tu et al. (2016), "Modeling coverage for neural machine translation", section 3. The coverage C_j of
every source position enters the score beside its key: v^T tanh(W s + U h_j + V C_j). V C_j is added
to the projected key, which is that same sum for "additive" and "concat", and carries it over to
every other score that uses keys.

The vectors C [..., S, F] belong to one target, and are 0 at its start. `project_memory` computes
what depends on the source alone, once for all targets.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Coverage(nn.Module, ABC):
    """`size` F numbers a source position, mapped to the projected keys [N, S, D_p] of all heads."""

    def __init__(self, *, size: int, projected_size: int, heads: int = 1) -> None:
        super().__init__()
        self.size = size
        self.heads = heads
        self.key = nn.Linear(size, heads * projected_size, bias=False)  # V

    def start(self, values: Tensor) -> Tensor:
        """The vectors before the first step. values [..., S, M] -> [..., S, F]"""
        return values.new_zeros(*values.shape[:-1], self.size)

    @abstractmethod
    def project_memory(self, values: Tensor) -> Tensor:
        """The part of every update that depends on memory alone. [..., S, M] -> [..., S, ?]"""

    @abstractmethod
    def update(self, vectors: Tensor, projected: Tensor, weights: Tensor, query: Tensor) -> Tensor:
        """The vectors [..., S, F] after a step with these weights and this query.

        projected [..., S, ?] as `project_memory` returns it; weights [..., S], the mean of all
        heads; query [..., H]
        """

    def key_bias(self, vectors: Tensor) -> Tensor:
        """V C_j, which is added to the projected keys. [..., S, F] -> [..., N, S, D_p]"""
        bias: Tensor = self.key(vectors)  # [..., S, N * D_p]
        return bias.reshape(*bias.shape[:-1], self.heads, -1).transpose(-2, -3)


class LinearCoverage(Coverage):
    """C_ij = C_{i-1,j} + a_ij / Phi_j,  Phi_j = N sigmoid(U_f h_j): equations 8 and 9.

    Phi_j, the fertility, is how many target words position j is expected to give, at most N.
    """

    def __init__(
        self,
        *,
        memory_size: int,
        projected_size: int,
        heads: int = 1,
        max_fertility: float = 2.0,
    ) -> None:
        super().__init__(size=1, projected_size=projected_size, heads=heads)
        self.max_fertility = max_fertility  # N
        self.fertility = nn.Linear(memory_size, 1, bias=False)  # U_f

    def project_memory(self, values: Tensor) -> Tensor:
        """Phi [..., S, 1]"""
        return self.max_fertility * torch.sigmoid(self.fertility(values))

    def update(self, vectors: Tensor, projected: Tensor, weights: Tensor, query: Tensor) -> Tensor:
        return vectors + weights.unsqueeze(-1) / projected


class GRUCoverage(Coverage):
    """C_ij = GRU(C_{i-1,j}, [a_ij ; h_j ; s]), s the decoder state of the query: equation 6, gated.

    The paper has C 10 wide. The reset gate acts after the product, as in `GRULayer`.
    """

    def __init__(
        self,
        *,
        memory_size: int,
        query_size: int,
        projected_size: int,
        size: int = 10,
        heads: int = 1,
    ) -> None:
        super().__init__(size=size, projected_size=projected_size, heads=heads)
        self.memory = nn.Linear(memory_size, 3 * size)  # of h_j, to the gates r, z, n, with biases
        self.weight = nn.Linear(1, 3 * size, bias=False)  # of a_ij
        self.query = nn.Linear(query_size, 3 * size, bias=False)  # of s
        self.recurrent = nn.Linear(size, 3 * size)  # of C_{i-1,j}

    def project_memory(self, values: Tensor) -> Tensor:
        return self.memory(values)  # type: ignore[no-any-return]

    def update(self, vectors: Tensor, projected: Tensor, weights: Tensor, query: Tensor) -> Tensor:
        from_inputs = (
            projected + self.weight(weights.unsqueeze(-1)) + self.query(query).unsqueeze(-2)
        )  # [..., S, 3F]
        reset_x, update_x, new_x = from_inputs.chunk(3, dim=-1)  # [..., S, F] each
        reset_h, update_h, new_h = self.recurrent(vectors).chunk(3, dim=-1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return new + update * (vectors - new)
