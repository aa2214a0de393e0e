"""Attention: C = softmax(f(Q, K)) V, with any score function f.

Nothing here knows of translation.
"""

from typing import NamedTuple

from torch import Tensor, nn

from seq2seq.masks import masked_softmax
from seq2seq.scores import DotScore, ScaledDotScore, Score


class Attended(NamedTuple):
    """What a query brought back, and where it looked."""

    context: Tensor  # [..., M, D_v]
    weights: Tensor  # [..., M, N]; rows sum to 1, 0 where masked


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    score: str | Score = "scaled_dot",
    mask: Tensor | None = None,
) -> Attended:
    """Mix values by how well their keys match each query.

    query [..., M, D_q], keys [..., N, D_k], values [..., N, D_v]; `score` is "dot", "scaled_dot" or
    any module of `seq2seq.scores`; mask: boolean, True = may look, [..., N] or [..., M, N].
    """
    function = _PARAMETER_FREE[score]() if isinstance(score, str) else score
    return mix(function(query, function.prepare(keys)), values, mask)


def mix(scores: Tensor, values: Tensor, mask: Tensor | None) -> Attended:
    """The softmax and the weighted sum. scores [..., M, N], values [..., N, D_v], mask as above."""
    if mask is not None and mask.dim() < scores.dim():
        mask = mask.unsqueeze(-2)  # [..., 1, N]: the same for every query
    weights = masked_softmax(scores, mask)  # [..., M, N]
    return Attended(weights @ values, weights)


class Attention(nn.Module):
    """Attention with a score of its own, over keys that were prepared once."""

    def __init__(self, score: Score) -> None:
        super().__init__()
        self.score = score

    def keys(self, values: Tensor) -> Tensor:
        """What queries are compared with. values [..., N, D_v] -> keys [..., N, ?]"""
        return self.score.prepare(values)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Attended:
        """query [..., M, D_q], keys as made by `keys`, mask [..., N] or [..., M, N]"""
        return mix(self.score(query, keys), values, mask)


_PARAMETER_FREE: dict[str, type[Score]] = {"dot": DotScore, "scaled_dot": ScaledDotScore}
