"""Score functions: how well a query matches a key, before the softmax.

Each score has two doors, so that what depends on the keys alone is computed once a sentence:
`prepare` turns memory into keys, calling the score compares queries with prepared keys. No score
builds the [M, N, D_q + D_k] concatenation of every query with every key.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Score(nn.Module, ABC):
    """f(Q, K): queries [..., M, D_q] and keys [..., N, D_k] -> scores [..., M, N]."""

    def prepare(self, keys: Tensor) -> Tensor:
        """What of the score depends on keys alone. [..., N, D_k] -> [..., N, ?]"""
        return keys

    @abstractmethod
    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        """query [..., M, D_q], prepared [..., N, ?] -> [..., M, N]"""


class DotScore(Score):
    """score(q, k) = q . k, "dot" in Luong et al. (2015), equation 8; equal widths."""

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query @ prepared.transpose(-1, -2)


class ScaledDotScore(Score):
    """score(q, k) = q . k / sqrt(n), Vaswani et al. (2017), equation 1; equal widths n."""

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return (query / math.sqrt(query.shape[-1])) @ prepared.transpose(-1, -2)


class GeneralScore(Score):
    """score(q, k) = q^T W k, "general" in Luong et al. (2015), equation 8."""

    def __init__(self, *, query_size: int, key_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_uniform(query_size, key_size))  # W [D_q, D_k]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.weight.T  # [..., N, D_q]

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return query @ prepared.transpose(-1, -2)


class ConcatScore(Score):
    """score(q, k) = w_A^T tanh(W_B q + W_C k): Bahdanau et al. (2015), appendix A.1.2.

    The lecture's "concatenation". No biases, as published.
    """

    def __init__(self, *, query_size: int, key_size: int, size: int) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(_uniform(size, query_size))  # W_B [A, D_q]
        self.key_weight = nn.Parameter(_uniform(size, key_size))  # W_C [A, D_k]
        self.reduction = nn.Parameter(_uniform(1, size).squeeze(0))  # w_A [A]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.key_weight.T  # [..., N, A]

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        return _reduced_tanh(query @ self.query_weight.T, prepared, self.reduction)


class AdditiveScore(Score):
    """score(q, k) = w_A^T tanh(W_B [q ; k]): the lecture's "additive".

    The same function as "concat" with one matrix for both: W_B is split by columns, so that the
    concatenation is never built.
    """

    def __init__(self, *, query_size: int, key_size: int, size: int) -> None:
        super().__init__()
        self.query_size = query_size
        self.weight = nn.Parameter(_uniform(size, query_size + key_size))  # W_B [A, D_q + D_k]
        self.reduction = nn.Parameter(_uniform(1, size).squeeze(0))  # w_A [A]

    def prepare(self, keys: Tensor) -> Tensor:
        return keys @ self.weight[:, self.query_size :].T  # [..., N, A]

    def forward(self, query: Tensor, prepared: Tensor) -> Tensor:
        query_half = self.weight[:, : self.query_size]
        return _reduced_tanh(query @ query_half.T, prepared, self.reduction)


def build_score(name: str, *, query_size: int, key_size: int, size: int) -> Score:
    """The score of that name; `size` is the inner width A of "additive" and "concat"."""
    if name in ("dot", "scaled_dot"):
        if query_size != key_size:
            raise ValueError(f"{name} needs equal widths, not {query_size} and {key_size}")
        return DotScore() if name == "dot" else ScaledDotScore()
    if name == "general":
        return GeneralScore(query_size=query_size, key_size=key_size)
    if name == "concat":
        return ConcatScore(query_size=query_size, key_size=key_size, size=size)
    if name == "additive":
        return AdditiveScore(query_size=query_size, key_size=key_size, size=size)
    raise ValueError(f"there is no score {name!r}")


def _reduced_tanh(query: Tensor, keys: Tensor, reduction: Tensor) -> Tensor:
    """query [..., M, A], keys [..., N, A], reduction [A] -> [..., M, N]"""
    energy = torch.tanh(query.unsqueeze(-2) + keys.unsqueeze(-3))  # [..., M, N, A]
    return energy @ reduction  # [..., M, N]


def _uniform(rows: int, columns: int) -> Tensor:
    """Glorot & Bengio (2010), equation 16."""
    return nn.init.xavier_uniform_(torch.empty(rows, columns))
