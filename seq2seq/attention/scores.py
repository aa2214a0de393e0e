"""Score functions: how well a query matches a key, before the softmax.

Each score has two doors, so that what depends on the keys alone is computed once a sentence:
`prepare` turns memory into keys, calling the score compares queries with prepared keys. No score
builds the [M, N, D_q + D_k] concatenation of every query with every key.

With `heads`, a score has one set of weights a head, and its inputs are [..., heads, M, D_q] and
[..., heads, N, D_k].
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.kernels.deferred_gradients import DeferredGradLinear, DeferredGradMatmul


class Score(nn.Module, ABC):
    """f(Q, K): queries [..., M, D_q] and keys [..., N, D_k] -> scores [..., M, N]."""

    def prepare(self, keys: Tensor) -> Tensor:
        """What of the score depends on keys alone. [..., N, D_k] -> [..., N, P]"""
        return keys

    def prepared_size(self, key_size: int) -> int:
        """P, the width of prepared keys; 0 for a score that reads none."""
        return key_size

    @abstractmethod
    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        """query [..., M, D_q], prepared [..., N, P] -> [..., M, N]"""

    def looped(self, prepared: Tensor) -> Callable[[Tensor], Tensor]:
        """The same for a loop that asks one memory at every step, and then learns."""
        return lambda query: self(query, prepared)


class ProductScore(Score):
    """A score that is a product of queries with prepared keys."""

    def scaled(self, query: Tensor) -> Tensor:
        """What of a query meets the keys."""
        return query

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return self.scaled(query) @ prepared.transpose(-1, -2)

    def looped(self, prepared: Tensor) -> Callable[[Tensor], Tensor]:
        compare = DeferredGradMatmul(prepared.transpose(-1, -2))
        return lambda query: compare(self.scaled(query))


class TanhScore(Score):
    """score(q, k) = w^T tanh(W q + k'), k' the prepared key: a layer for both, and a sum."""

    reduction: Tensor  # w [A] or [heads, A]

    @abstractmethod
    def query_projection(self) -> Tensor:
        """W [A, D_q] or [heads, A, D_q]"""

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return self._reduced(query @ self.query_projection().transpose(-1, -2), prepared)

    def looped(self, prepared: Tensor) -> Callable[[Tensor], Tensor]:
        weight = self.query_projection()
        if weight.dim() > 2:
            return super().looped(prepared)
        project = DeferredGradLinear(weight)
        return lambda query: self._reduced(project(query), prepared)

    def _reduced(self, query: Tensor, keys: Tensor) -> Tensor:
        """query [..., M, A], keys [..., N, A] -> [..., M, N]"""
        energy = torch.tanh(query.unsqueeze(-2) + keys.unsqueeze(-3))  # [..., M, N, A]
        if self.reduction.dim() == 1:
            return energy @ self.reduction
        return (energy @ self.reduction[:, None, :, None]).squeeze(-1)


class DotScore(ProductScore):
    """score(q, k) = q . k, "dot" in Luong et al. (2015), section 3.1; equal widths."""


class ScaledDotScore(ProductScore):
    """score(q, k) = q . k / sqrt(n), Vaswani et al. (2017), equation 1; equal widths n."""

    def scaled(self, query: Tensor) -> Tensor:
        return query / math.sqrt(query.shape[-1])


class GeneralScore(ProductScore):
    """score(q, k) = q^T W k, "general" in Luong et al. (2015), section 3.1."""

    def __init__(self, *, query_size: int, key_size: int, heads: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(glorot(heads, query_size, key_size))  # W [D_q, D_k]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.weight.transpose(-1, -2)  # [..., N, D_q]

    def prepared_size(self, key_size: int) -> int:
        return self.weight.shape[-2]


class ConcatScore(TanhScore):
    """score(q, k) = w_A^T tanh(W_B q + W_C k): Bahdanau et al. (2015), appendix A.1.2.

    The lecture's "concatenation". No biases, as published.
    """

    def __init__(
        self, *, query_size: int, key_size: int, size: int, heads: int | None = None
    ) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(glorot(heads, size, query_size))  # W_B [A, D_q]
        self.key_weight = nn.Parameter(glorot(heads, size, key_size))  # W_C [A, D_k]
        self.reduction = nn.Parameter(_reduction(heads, size))  # w_A [A]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.key_weight.transpose(-1, -2)  # [..., N, A]

    def prepared_size(self, key_size: int) -> int:
        return self.reduction.shape[-1]

    def query_projection(self) -> Tensor:
        return self.query_weight


class AdditiveScore(TanhScore):
    """score(q, k) = w_A^T tanh(W_B [q ; k]): the lecture's "additive".

    The same function as "concat" with one matrix for both: W_B is split by columns, so that the
    concatenation is never built.
    """

    def __init__(
        self, *, query_size: int, key_size: int, size: int, heads: int | None = None
    ) -> None:
        super().__init__()
        self.query_size = query_size
        self.weight = nn.Parameter(glorot(heads, size, query_size + key_size))  # W_B
        self.reduction = nn.Parameter(_reduction(heads, size))  # w_A [A]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.weight[..., self.query_size :].transpose(-1, -2)  # [..., N, A]

    def prepared_size(self, key_size: int) -> int:
        return self.reduction.shape[-1]

    def query_projection(self) -> Tensor:
        return self.weight[..., : self.query_size]


class FixedConcatScore(TanhScore):
    """score(q, k) = w^T tanh(W q + k): "concat" as Luong's published code computes it.

    The paper (Luong et al., 2015, section 3.1) has W [q ; k]; the code keeps the half of W that
    meets the key fixed at the identity.
    """

    def __init__(self, *, query_size: int, key_size: int, heads: int | None = None) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(glorot(heads, key_size, query_size))  # W [D_k, D_q]
        self.reduction = nn.Parameter(_reduction(heads, key_size))  # w [D_k]

    def query_projection(self) -> Tensor:
        return self.query_weight


class LocationScore(Score):
    """score_j(q) = (W q)_j: "location", Luong et al. (2015), equation 8.

    The query alone says where to look, at one of `positions` places; what is there is not read.
    Places beyond the table cannot be looked at.
    """

    def __init__(self, *, query_size: int, positions: int, heads: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(glorot(heads, positions, query_size))  # W [positions, D_q]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys[..., :0]  # [..., N, 0]: how many there are is all that counts

    def prepared_size(self, key_size: int) -> int:
        return 0

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        width = prepared.shape[-2]
        scores = query @ self.weight[..., :width, :].transpose(-1, -2)
        beyond = width - scores.shape[-1]
        return F.pad(scores, (0, beyond), value=float("-inf")) if beyond > 0 else scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSizes:
    """What scores are built for; each takes what it needs."""

    query: int
    key: int
    inner: int = 1  # A, of "additive" and "concat"
    positions: int = 1  # of "location"
    heads: int | None = None  # one set of weights a head


SCORES: dict[str, Callable[[ScoreSizes], Score]] = {
    "dot": lambda widths: DotScore(),
    "scaled_dot": lambda widths: ScaledDotScore(),
    "general": lambda w: GeneralScore(query_size=w.query, key_size=w.key, heads=w.heads),
    "additive": lambda w: AdditiveScore(
        query_size=w.query, key_size=w.key, size=w.inner, heads=w.heads
    ),
    "concat": lambda w: ConcatScore(
        query_size=w.query, key_size=w.key, size=w.inner, heads=w.heads
    ),
    "concat_fixed": lambda w: FixedConcatScore(query_size=w.query, key_size=w.key, heads=w.heads),
    "location": lambda w: LocationScore(query_size=w.query, positions=w.positions, heads=w.heads),
}
EQUAL_WIDTHS = ("dot", "scaled_dot")  # scores without weights: query and key must be as wide


def build_score(name: str, widths: ScoreSizes) -> Score:
    """The score of that name, with fresh weights."""
    if name not in SCORES:
        raise ValueError(f"there is no score {name!r}; there are {', '.join(SCORES)}")
    if name in EQUAL_WIDTHS and widths.query != widths.key:
        raise ValueError(f"{name} needs equal widths, not {widths.query} and {widths.key}")
    return SCORES[name](widths)


def glorot(heads: int | None, rows: int, columns: int) -> Tensor:
    """Glorot & Bengio (2010), equation 16: [rows, columns], or [heads, rows, columns]."""
    bound = math.sqrt(6 / (rows + columns))
    lead = () if heads is None else (heads,)
    return torch.empty(*lead, rows, columns).uniform_(-bound, bound)


def _reduction(heads: int | None, size: int) -> Tensor:
    return glorot(heads, 1, size).squeeze(-2)  # [A] or [heads, A]
