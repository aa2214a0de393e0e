"""Attention: C = softmax(f(Q, K)) V, with any score function f.

Nothing here knows of translation. Shapes: L queries, S keys and values, N heads; `...` is any
number of leading dimensions, none included. A mask is an `AttentionMask`, or a tensor [L, S] for
the whole batch or [..., L, S]: boolean, True = may attend, or floating and added to the scores. A
query that may attend to nothing gets weights and context 0.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import AttentionMask, masked_softmax
from seq2seq.attention.normalizers import NORMALIZERS
from seq2seq.attention.scopes import Scope
from seq2seq.attention.scores import EQUAL_WIDTHS, Score, ScoreSizes, build_score, glorot
from seq2seq.kernels.deferred_gradients import deferrable_linear
from seq2seq.kernels.dropout import Dropout


class AttentionOutput(NamedTuple):
    """The weighted sum of the values for each query, and its weights."""

    context: Tensor  # [..., L, D_v]
    weights: Tensor  # [..., N, L, S], from `attend` [..., L, S]; rows sum to 1, 0 where masked


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    score: str | Score = "scaled_dot",
    mask: Tensor | AttentionMask | None = None,
) -> AttentionOutput:
    """Sum values weighted by how well their keys match each query.

    query [..., L, D_q], keys [..., S, D_k], values [..., S, D_v] -> context [..., L, D_v], weights
    [..., L, S]. `score` is "dot", "scaled_dot" or any module of `seq2seq.attention.scores`. Raises
    ValueError for values or a mask that do not fit.
    """
    f = score if isinstance(score, Score) else _parameter_free(score, query, keys)
    scores = f(query, f.project_keys(keys))  # f(Q, K) [..., L, S]
    if values.shape[-2] != keys.shape[-2]:
        raise ValueError(f"{keys.shape[-2]} keys but {values.shape[-2]} values: one for each")
    bias, allowed = AttentionMask.of(mask).split(scores)
    weights = masked_softmax(scores if bias is None else scores + bias, allowed)
    return AttentionOutput(weights @ values, weights)


class ProjectedMemory(NamedTuple):
    """Keys and values as the heads compare and sum them: projected once for all queries."""

    keys: Tensor  # [..., N, S, D_p]
    values: Tensor  # [..., N, S, D_v]

    def select(self, rows: Tensor) -> "ProjectedMemory":
        return ProjectedMemory(self.keys.index_select(0, rows), self.values.index_select(0, rows))

    def extended(self, other: "ProjectedMemory") -> "ProjectedMemory":
        """This memory followed by another, along S."""
        return ProjectedMemory(
            torch.cat([self.keys, other.keys], dim=-2),
            torch.cat([self.values, other.values], dim=-2),
        )


class MemoryAttention(nn.Module, ABC):
    """Attention in two halves: a memory is projected once, and attended to at every step."""

    heads: int  # N

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | AttentionMask | None = None,
    ) -> AttentionOutput:
        """query [..., L, D_q], keys [..., S, D_k], values [..., S, D_v]"""
        return self.attend(query, self.project_memory(keys, values), mask)

    @abstractmethod
    def project_memory(self, keys: Tensor, values: Tensor) -> ProjectedMemory:
        """Everything that depends on keys [..., S, D_k] and values [..., S, D_v] alone."""

    @abstractmethod
    def projected_size(self, key_size: int) -> int:
        """D_p, the width of a head's projected keys."""

    @abstractmethod
    def attend(
        self,
        query: Tensor,
        memory: ProjectedMemory,
        mask: Tensor | AttentionMask | None = None,
        *,
        steps: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> AttentionOutput:
        """Attend to projected memory: query [..., L, D_q] -> [..., L, M], [..., N, L, S].

        steps [..., L] numbers the queries from 1, for a scope that depends on it (default: 1 to L);
        key_bias [..., L, N, S, D_p] (or 1 for L) is added to the projected keys, as coverage does:
        each query then has keys of its own.
        """


class Attention(MemoryAttention):
    """C = (normalizer(f(Q, K)) o prior) V, one head.

    `normalizer` is a name of `seq2seq.attention.normalizers`; a scope limits the positions that a
    query may attend to and may multiply weights by a prior; dropout acts on the weights that sum
    the values, not on those that are returned.
    """

    heads = 1  # N

    def __init__(
        self,
        score: Score,
        *,
        scope: Scope | None = None,
        normalizer: str = "softmax",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if normalizer not in NORMALIZERS:
            raise ValueError(
                f"there is no normalizer {normalizer!r}; there are {', '.join(NORMALIZERS)}"
            )
        self.score = score
        self.scope = scope
        self.normalize = NORMALIZERS[normalizer]
        self.dropout = Dropout(dropout)

    def project_memory(self, keys: Tensor, values: Tensor) -> ProjectedMemory:
        return ProjectedMemory(self.score.project_keys(keys).unsqueeze(-3), values.unsqueeze(-3))

    def projected_size(self, key_size: int) -> int:
        return self.score.projected_size(key_size)

    def attend(
        self,
        query: Tensor,
        memory: ProjectedMemory,
        mask: Tensor | AttentionMask | None = None,
        *,
        steps: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> AttentionOutput:
        context, weights = self.attend_heads(
            query.unsqueeze(-3), memory, mask, steps=steps, key_bias=key_bias
        )
        return AttentionOutput(context.squeeze(-3), weights)

    def attend_heads(
        self,
        query: Tensor,
        memory: ProjectedMemory,
        mask: Tensor | AttentionMask | None = None,
        *,
        steps: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> AttentionOutput:
        """Queries [..., N, L, D], each head with its own -> contexts [..., N, L, D_v]."""
        scores = self._scores(query, memory.keys, key_bias)  # [..., N, L, S]
        bias, allowed = AttentionMask.of(mask).split(scores, heads=True)
        if bias is not None:
            scores = scores + bias
        prior = None
        if self.scope is not None:
            allowed, prior = self._in_scope(query, scores, allowed, steps)
        weights = self.normalize(scores, allowed)
        if prior is not None:
            weights = weights * prior
        return AttentionOutput(self.dropout(weights) @ memory.values, weights)

    def _scores(self, query: Tensor, keys: Tensor, key_bias: Tensor | None) -> Tensor:
        """query [..., N, L, D], keys [..., N, S, D_p] -> [..., N, L, S]"""
        if key_bias is None:
            return self.score(query, keys)  # type: ignore[no-any-return]
        each = query.transpose(-2, -3).unsqueeze(-2)  # [..., L, N, 1, D]
        scores = self.score(each, keys.unsqueeze(-4) + key_bias)  # [..., L, N, 1, S]
        return scores.squeeze(-2).transpose(-2, -3)  # type: ignore[no-any-return]

    def _in_scope(
        self, query: Tensor, scores: Tensor, allowed: Tensor | None, steps: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The part of the mask that is in scope, and the prior of the weights."""
        assert self.scope is not None
        queries, width = scores.shape[-2:]
        if steps is None:
            steps = torch.arange(1, queries + 1, device=scores.device)
        else:
            steps = steps.unsqueeze(-2)  # [..., 1, L]
        if allowed is None:
            allowed = scores.new_ones(1, width, dtype=torch.bool)
        lengths = allowed.sum(-1)  # how many keys: [..., N or 1, L or 1]
        in_scope, prior = self.scope(query, steps, lengths, width)
        return in_scope & allowed, prior


class MultiHeadAttention(MemoryAttention):
    """[HEAD_1 ; ... ; HEAD_N] W_O, each head an attention with adaptive weights of its own.

    HEAD_n = ATTN(Q W_Q^n, K W_K^n, V W_V^n), Vaswani et al. (2017), section 3.2.2, with any score.
    Heads are `size / heads` wide. Without `projections` the queries, keys and values are cut into
    heads as they are; without `project_values` only the values are, and the contexts are joined
    with no W_O. One head has no W_O: it is an attention with
    adaptive weights. Weights are [..., N, L, S].
    """

    def __init__(
        self,
        *,
        query_size: int,
        key_size: int | None = None,
        value_size: int | None = None,
        size: int | None = None,
        heads: int = 1,
        score: str = "scaled_dot",
        projections: bool = True,
        project_values: bool = True,
        inner_size: int | None = None,
        positions: int = 1,
        scope: Scope | None = None,
        normalizer: str = "softmax",
        dropout: float = 0.0,
    ) -> None:
        """Sizes left out are `query_size`; `inner_size` A and `positions` are the score's, A for
        all heads together. A scope has weights for `heads` heads of width size / heads."""
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads is {heads}; 1 is the least")
        key_size = key_size or query_size
        value_size = value_size or query_size
        size = size or query_size
        projects_keys = projections and score != "location"  # which depends on no key
        projects_values = projections and project_values
        query_width = size if projections else query_size  # of all heads together, as the others
        key_width = size if projects_keys else key_size
        value_width = size if projects_values else value_size
        widths = {"queries": query_width, "keys": key_width, "values": value_width}
        for name, width in widths.items():
            if width % heads:
                raise ValueError(f"{heads} heads do not divide {name} of width {width}")
        self.heads = heads
        self.context_size = value_size if heads > 1 and projects_values else value_width
        self.query_weight = _weight(query_width, query_size) if projections else None  # W_Q
        self.key_weight = _weight(key_width, key_size) if projects_keys else None  # W_K
        self.value_weight = _weight(value_width, value_size) if projects_values else None  # W_V
        self.output_weight = (  # W_O
            _weight(value_size, value_width) if projects_values and heads > 1 else None
        )
        sizes = ScoreSizes(
            query=query_width // heads,
            key=key_width // heads,
            inner=max(1, (inner_size or size) // heads),
            positions=positions,
            heads=heads,
        )
        self.attention = Attention(
            build_score(score, sizes), scope=scope, normalizer=normalizer, dropout=dropout
        )

    def project_memory(self, keys: Tensor, values: Tensor) -> ProjectedMemory:
        return ProjectedMemory(
            self.attention.score.project_keys(self._split(keys, self.key_weight)),
            self._split(values, self.value_weight),
        )

    def projected_size(self, key_size: int) -> int:
        return self.attention.projected_size(
            (key_size if self.key_weight is None else len(self.key_weight)) // self.heads
        )

    def attend(
        self,
        query: Tensor,
        memory: ProjectedMemory,
        mask: Tensor | AttentionMask | None = None,
        *,
        steps: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> AttentionOutput:
        contexts, weights = self.attention.attend_heads(
            self._split(query, self.query_weight), memory, mask, steps=steps, key_bias=key_bias
        )
        joined = contexts.transpose(-2, -3).flatten(-2)  # [..., L, N * D]
        if self.output_weight is not None:
            joined = deferrable_linear(joined, self.output_weight)
        return AttentionOutput(joined, weights)

    def _split(self, inputs: Tensor, weight: Tensor | None) -> Tensor:
        """[..., L, I] -> [..., N, L, D], after a linear map if there is a weight."""
        projected = inputs if weight is None else deferrable_linear(inputs, weight)
        return projected.reshape(*projected.shape[:-1], self.heads, -1).transpose(-2, -3)


def _weight(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(glorot(None, rows, columns))


def _parameter_free(name: str, query: Tensor, keys: Tensor) -> Score:
    if name not in EQUAL_WIDTHS:
        raise ValueError(
            f"{name!r} is not a score without weights ({', '.join(EQUAL_WIDTHS)}); "
            "give a module of seq2seq.attention.scores"
        )
    return build_score(name, ScoreSizes(query=query.shape[-1], key=keys.shape[-1]))
