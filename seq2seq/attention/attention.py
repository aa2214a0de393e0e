"""Attention: C = softmax(f(Q, K)) V, with any score function f.

Nothing here knows of translation. A mask is boolean, True = may look, [..., N] for all queries or
[..., M, N] for each, or the lecture's matrix M that is added to the scores: floating, -inf forbids.
A query that may look nowhere gets weights and context 0.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import masked_softmax, read_mask
from seq2seq.attention.normalizers import NORMALIZERS
from seq2seq.attention.scopes import Scope
from seq2seq.attention.scores import EQUAL_WIDTHS, Score, ScoreSizes, build_score, glorot
from seq2seq.kernels.deferred_gradients import DeferredGradMatmul
from seq2seq.kernels.dropout import Dropout


class AttentionOutput(NamedTuple):
    """What a query brought back, and where it looked."""

    context: Tensor  # [..., M, D_v]
    weights: Tensor  # [..., M, N]; rows sum to 1, 0 where masked


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    score: str | Score = "scaled_dot",
    mask: Tensor | None = None,
) -> AttentionOutput:
    """Mix values by how well their keys match each query.

    query [..., M, D_q], keys [..., N, D_k], values [..., N, D_v]; `score` is "dot", "scaled_dot" or
    any module of `seq2seq.attention.scores`. Raises ValueError for values or a mask that do not
    fit.
    """
    f = score if isinstance(score, Score) else _parameter_free(score, query, keys)
    scores = f(query, f.prepare(keys))  # f(Q, K) [..., M, N]
    if values.shape[-2] != keys.shape[-2]:
        raise ValueError(f"{keys.shape[-2]} keys but {values.shape[-2]} values: one for each")
    bias, visible = read_mask(mask, scores)
    weights = masked_softmax(scores if bias is None else scores + bias, visible)
    return AttentionOutput(weights @ values, weights)


class LoopedMemory(NamedTuple):
    """What every step of a loop compares with and multiplies by."""

    score: Callable[[Tensor], Tensor]  # queries [..., M, D_q] -> [..., M, N]
    values: DeferredGradMatmul


class Prepared(NamedTuple):
    """Memory as an attention sees it, made once however many queries follow."""

    keys: Tensor  # [..., N, P], [..., heads, N, P]
    values: Tensor  # [..., N, D_v], [..., heads, N, D_v]
    loop: LoopedMemory | None = None  # products with both, for the length of one unroll

    def select(self, rows: Tensor) -> "Prepared":
        return Prepared(self.keys[rows], self.values[rows])

    def extended(self, more: "Prepared") -> "Prepared":
        """With more memory behind."""
        return Prepared(
            torch.cat([self.keys, more.keys], dim=-2), torch.cat([self.values, more.values], dim=-2)
        )


class Attention(nn.Module):
    """C = (normalizer(f(Q, K)) o prior) V: a score with all that may surround it.

    `normalizer` is a name of `seq2seq.attention.normalizers`; a scope narrows where a query looks
    and may weight it by nearness (the prior); dropout drops weights, not those that are
    reported.
    """

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

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> AttentionOutput:
        """query [..., M, D_q], keys [..., N, D_k], values [..., N, D_v]"""
        return self.look(query, self.prepare(keys, values), mask)

    def prepare(self, keys: Tensor, values: Tensor) -> Prepared:
        """What depends on memory alone."""
        return Prepared(self.score.prepare(keys), values)

    def prepared_size(self, key_size: int) -> int:
        """P, the width of prepared keys."""
        return self.score.prepared_size(key_size)

    def looped(self, memory: Prepared) -> Prepared:
        """The same memory for a loop that asks it at every step, and then learns."""
        score = self.score.looped(memory.keys)
        return memory._replace(loop=LoopedMemory(score, DeferredGradMatmul(memory.values)))

    def look(
        self,
        query: Tensor,
        memory: Prepared,
        mask: Tensor | None = None,
        *,
        steps: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> AttentionOutput:
        """Ask prepared memory.

        steps [..., M] numbers the queries from 1, for a scope that goes by it (left out: 1 to M);
        shift [..., N, P] is added to the prepared keys, as coverage does.
        """
        scores = self._compare(query, memory, shift)  # [..., M, N]
        bias, visible = read_mask(mask, scores)
        if bias is not None:
            scores = scores + bias
        prior = None
        if self.scope is not None:
            visible, prior = self._narrowed(query, scores, visible, steps)
        weights = self.normalize(scores, visible)
        if prior is not None:
            weights = weights * prior
        mixed = self.dropout(weights)
        return AttentionOutput(
            mixed @ memory.values if memory.loop is None else memory.loop.values(mixed), weights
        )

    def _compare(self, query: Tensor, memory: Prepared, shift: Tensor | None) -> Tensor:
        if shift is not None:
            return cast(Tensor, self.score(query, memory.keys + shift))
        if memory.loop is not None:
            return memory.loop.score(query)
        return cast(Tensor, self.score(query, memory.keys))

    def _narrowed(
        self, query: Tensor, scores: Tensor, visible: Tensor | None, steps: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert self.scope is not None
        count, width = scores.shape[-2:]
        if steps is None:
            steps = torch.arange(1, count + 1, device=scores.device)
        if visible is None:
            visible = scores.new_ones(1, width, dtype=torch.bool)
        lengths = visible.sum(-1)  # S [..., 1] or [..., M]
        mask, prior = self.scope(query, steps, lengths, width)
        return mask & visible, prior


class MultiHeadAttention(nn.Module):
    """[HEAD_1 ; ... ; HEAD_H] W_O, each head an attention with adaptive weights of its own.

    HEAD_h = ATTN(Q W_Q^h, K W_K^h, V W_V^h), Vaswani et al. (2017), section 3.2.2, with any score.
    Heads are `size / heads` wide. Without `projections` the queries, keys and values are cut into
    heads as they are; without `project_values` only the values are, and the contexts are joined
    with no W_O (as in RNMT+, Chen et al., 2018). One head has no W_O: it is an attention with
    adaptive weights. Weights are [..., heads, M, N].
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
        asked = size if projections else query_size
        projects_keys = projections and score != "location"  # which reads none
        compared = size if projects_keys else key_size
        mixed = size if projections and project_values else value_size
        for name, width in {"queries": asked, "keys": compared, "values": mixed}.items():
            if width % heads:
                raise ValueError(f"{heads} heads do not divide {name} of width {width}")
        self.heads = heads
        self.context_size = value_size if heads > 1 and projections and project_values else mixed
        self.query_weight = _weight(asked, query_size) if projections else None  # W_Q
        self.key_weight = _weight(compared, key_size) if projects_keys else None  # W_K
        self.value_weight = _weight(mixed, value_size) if projections and project_values else None
        self.output_weight = (  # W_O
            _weight(value_size, mixed) if self.value_weight is not None and heads > 1 else None
        )
        widths = ScoreSizes(
            query=asked // heads,
            key=compared // heads,
            inner=max(1, (inner_size or size) // heads),
            positions=positions,
            heads=heads,
        )
        self.attention = Attention(
            build_score(score, widths), scope=scope, normalizer=normalizer, dropout=dropout
        )

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> AttentionOutput:
        """query [..., M, D_q], keys [..., N, D_k], values [..., N, D_v] -> [..., M, D]"""
        return self.look(query, self.prepare(keys, values), mask)

    def prepare(self, keys: Tensor, values: Tensor) -> Prepared:
        """What depends on memory alone, a head at a time: [..., heads, N, ?]"""
        return self.attention.prepare(
            self._split(keys, self.key_weight), self._split(values, self.value_weight)
        )

    def looped(self, memory: Prepared) -> Prepared:
        """As `Attention.looped`."""
        return self.attention.looped(memory)

    def prepared_size(self, key_size: int) -> int:
        """P, the width of a head's prepared keys."""
        return self.attention.prepared_size(
            (key_size if self.key_weight is None else len(self.key_weight)) // self.heads
        )

    def look(
        self,
        query: Tensor,
        memory: Prepared,
        mask: Tensor | None = None,
        *,
        steps: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> AttentionOutput:
        """As `Attention.look`, for all heads; shift is [..., heads, N, P]."""
        context, weights = self.attention.look(
            self._split(query, self.query_weight),
            memory,
            _for_heads(mask, query.dim()),
            steps=None if steps is None else steps.unsqueeze(-2),
            shift=shift,
        )
        joined = context.transpose(-2, -3).flatten(-2)  # [..., M, heads * D]
        if self.output_weight is not None:
            joined = joined @ self.output_weight.T
        return AttentionOutput(joined, weights)

    def _split(self, inputs: Tensor, weight: Tensor | None) -> Tensor:
        """[..., N, I] -> [..., heads, N, D]"""
        projected = inputs if weight is None else inputs @ weight.T
        return projected.reshape(*projected.shape[:-1], self.heads, -1).transpose(-2, -3)


def _for_heads(mask: Tensor | None, dimensions: int) -> Tensor | None:
    """Make a mask of [..., N] or [..., M, N] fit scores of [..., heads, M, N]."""
    if mask is None:
        return None
    each = mask if mask.dim() == dimensions else mask.unsqueeze(-2)  # [..., M or 1, N]
    return each.unsqueeze(-3)


def _weight(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(glorot(None, rows, columns))


def _parameter_free(name: str, query: Tensor, keys: Tensor) -> Score:
    if name not in EQUAL_WIDTHS:
        raise ValueError(
            f"{name!r} is not a score without weights ({', '.join(EQUAL_WIDTHS)}); "
            "give a module of seq2seq.attention.scores"
        )
    return build_score(name, ScoreSizes(query=query.shape[-1], key=keys.shape[-1]))
