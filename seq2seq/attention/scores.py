"""Score functions: how well a query matches a key, before the softmax.

What depends on the keys alone is computed once a sentence: `project_keys` turns memory into
projected keys [..., S, D_p], and calling the score compares queries with them. No score builds the
[L, S, D_q + D_k] concatenation of every query with every key.

With `heads`, a score has one set of weights a head, and its inputs are [..., N, L, D_q] and
[..., N, S, D_k].
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.kernels.deferred_gradients import linear_map
from seq2seq.kernels.precision import autocast_dtype
from seq2seq.kernels.tanh import NARROW


class Score(nn.Module, ABC):
    """f(Q, K): queries [..., L, D_q] and keys [..., S, D_k] -> scores [..., L, S]."""

    def project_keys(self, keys: Tensor) -> Tensor:
        """The part of the score that depends on keys alone. [..., S, D_k] -> [..., S, D_p]"""
        return keys

    def projected_size(self, key_size: int) -> int:
        """D_p, the width of projected keys; 0 for a score that depends on no key."""
        return key_size

    @abstractmethod
    def forward(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        """query [..., L, D_q], projected_keys [..., S, D_p] -> [..., L, S]"""


class ProductScore(Score):
    """A score that is a product of (scaled) queries with projected keys."""

    def scaled(self, query: Tensor) -> Tensor:
        """The factor of the product that depends on the query."""
        return query

    def forward(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        return self.scaled(query) @ projected_keys.transpose(-1, -2)


class TanhScore(Score):
    """score(q, k) = w^T tanh(W q + k'), k' the projected key.

    It is computed as 2 w^T sig(2 (W q + k')) - w^T 1, the same number: on a CPU torch computes a
    sigmoid in a quarter to a sixth of the time of a tanh, which is most of an attention's. Numbers
    of 16 bits are too coarse for the difference.
    """

    reduction: Tensor  # w [A] or [N, A]

    @abstractmethod
    def query_projection(self) -> Tensor:
        """W [A, D_q] or [N, A, D_q]"""

    def forward(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        projected = linear_map(query, self.query_projection())  # [..., L, A]
        queries, keys = projected.unsqueeze(-2), projected_keys.unsqueeze(-3)
        if autocast_dtype(queries).itemsize <= NARROW:
            return self._reduce(torch.tanh(queries + keys))
        hidden = torch.add(2 * queries, keys, alpha=2).sigmoid_()  # [..., L, S, A]
        total = self.reduction.sum(-1)[..., None, None]  # [1, 1] or [N, 1, 1]
        return 2 * self._reduce(hidden) - total

    def _reduce(self, hidden: Tensor) -> Tensor:
        """[..., L, S, A] -> [..., L, S]"""
        if self.reduction.dim() == 1:
            return hidden @ self.reduction
        return (hidden @ self.reduction[:, None, :, None]).squeeze(-1)


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

    def project_keys(self, keys: Tensor) -> Tensor:
        return keys @ self.weight.transpose(-1, -2)  # [..., S, D_q]

    def projected_size(self, key_size: int) -> int:
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

    def project_keys(self, keys: Tensor) -> Tensor:
        return keys @ self.key_weight.transpose(-1, -2)  # [..., S, A]

    def projected_size(self, key_size: int) -> int:
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

    def project_keys(self, keys: Tensor) -> Tensor:
        return keys @ self.weight[..., self.query_size :].transpose(-1, -2)  # [..., S, A]

    def projected_size(self, key_size: int) -> int:
        return self.reduction.shape[-1]

    def query_projection(self) -> Tensor:
        return self.weight[..., : self.query_size]


class FixedConcatScore(TanhScore):
    """score(q, k) = w^T tanh(W q + k): "concat" as Luong et al. (2015) computed it.

    Section 3.1 of the paper has W [q ; k]; a footnote and the published code keep the half of W
    that meets the key at the identity.
    """

    def __init__(self, *, query_size: int, key_size: int, heads: int | None = None) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(glorot(heads, key_size, query_size))  # W [D_k, D_q]
        self.reduction = nn.Parameter(_reduction(heads, key_size))  # w [D_k]

    def query_projection(self) -> Tensor:
        return self.query_weight


class LocationScore(Score):
    """score_j(q) = (W q)_j: "location", Luong et al. (2015), equation 8.

    The score depends on the query and the position j alone, not on the key. Positions beyond the
    `positions` of the table cannot be attended to.
    """

    def __init__(self, *, query_size: int, positions: int, heads: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(glorot(heads, positions, query_size))  # W [positions, D_q]

    def project_keys(self, keys: Tensor) -> Tensor:
        return keys[..., :0]  # [..., S, 0]: only their number matters

    def projected_size(self, key_size: int) -> int:
        return 0

    def forward(self, query: Tensor, projected_keys: Tensor) -> Tensor:
        width = projected_keys.shape[-2]
        scores = linear_map(query, self.weight[..., :width, :])
        beyond = width - scores.shape[-1]
        return F.pad(scores, (0, beyond), value=float("-inf")) if beyond > 0 else scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSizes:
    """The sizes that any score may need; each uses its own."""

    query: int
    key: int
    inner: int = 1  # A, of "additive" and "concat"
    positions: int = 1  # of "location"
    heads: int | None = None  # one set of weights a head


SCORES: dict[str, Callable[[ScoreSizes], Score]] = {
    "dot": lambda sizes: DotScore(),
    "scaled_dot": lambda sizes: ScaledDotScore(),
    "general": lambda sizes: GeneralScore(
        query_size=sizes.query, key_size=sizes.key, heads=sizes.heads
    ),
    "additive": lambda sizes: AdditiveScore(
        query_size=sizes.query, key_size=sizes.key, size=sizes.inner, heads=sizes.heads
    ),
    "concat": lambda sizes: ConcatScore(
        query_size=sizes.query, key_size=sizes.key, size=sizes.inner, heads=sizes.heads
    ),
    "concat_fixed": lambda sizes: FixedConcatScore(
        query_size=sizes.query, key_size=sizes.key, heads=sizes.heads
    ),
    "location": lambda sizes: LocationScore(
        query_size=sizes.query, positions=sizes.positions, heads=sizes.heads
    ),
}
EQUAL_WIDTHS = ("dot", "scaled_dot")  # scores without weights: query and key must be as wide


def build_score(name: str, sizes: ScoreSizes) -> Score:
    """The score of that name, with fresh weights."""
    if name not in SCORES:
        raise ValueError(f"there is no score {name!r}; there are {', '.join(SCORES)}")
    if name in EQUAL_WIDTHS and sizes.query != sizes.key:
        raise ValueError(f"{name} needs equal widths, not {sizes.query} and {sizes.key}")
    return SCORES[name](sizes)


def glorot(heads: int | None, rows: int, columns: int) -> Tensor:
    """Glorot & Bengio (2010), equation 16: [rows, columns], or [N, rows, columns]."""
    bound = math.sqrt(6 / (rows + columns))
    lead = () if heads is None else (heads,)
    return torch.empty(*lead, rows, columns).uniform_(-bound, bound)


def _reduction(heads: int | None, size: int) -> Tensor:
    return glorot(heads, 1, size).squeeze(-2)  # [A] or [N, A]
