"""Masks of attention: which keys a query may attend to, and what is added to its scores."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionMask:
    """Which of S keys each of L queries may attend to; `a & b` allows what both allow.

    Both parts are boolean (True = may attend) or floating. A floating mask is added to the scores,
    and -inf forbids: the matrix M of softmax(f(Q, K) + M), Vaswani et al. (2017), section 3.2.3.
    """

    matrix: Tensor | None = None
    """[L, S] for the whole batch, or [..., L, S] with one matrix for each sequence."""
    key_padding: Tensor | None = None
    """[B, S], the same for every query of a sequence; the batch comes first."""

    def __post_init__(self) -> None:
        for part in (self.matrix, self.key_padding):
            if part is not None and part.dtype != torch.bool and not part.is_floating_point():
                raise ValueError(f"a mask is boolean or floating, not {part.dtype}")

    @classmethod
    def padding(cls, keys: Tensor) -> AttentionMask:
        """Key padding: keys [B, S], True where there is a token (or floating: a bias a key)."""
        return cls(key_padding=keys)

    @classmethod
    def causal(cls, length: int, *, device: torch.device | str = "cpu") -> AttentionMask:
        """Query t of a sequence may attend to keys up to t."""
        return cls(torch.ones(length, length, dtype=torch.bool, device=device).tril())

    @classmethod
    def of(cls, mask: Tensor | AttentionMask | None) -> AttentionMask:
        """A tensor is a matrix, as for torch's `scaled_dot_product_attention`; None allows all."""
        return mask if isinstance(mask, AttentionMask) else cls(mask)

    def __and__(self, other: AttentionMask) -> AttentionMask:
        return AttentionMask(
            _combined(self.matrix, other.matrix), _combined(self.key_padding, other.key_padding)
        )

    def split(self, scores: Tensor, *, heads: bool = False) -> tuple[Tensor | None, Tensor | None]:
        """A term to add to scores [..., L, S], and a boolean mask of them, True = may attend.

        Both broadcast to the scores; None adds nothing, or hides nothing. With `heads` the scores
        are [..., N, L, S], and one mask holds for all heads of a sequence. Raises ValueError where
        the mask does not fit.
        """
        matrix, padding = self.matrix, self.key_padding
        fits = True
        if matrix is not None:
            if heads and matrix.dim() > 2:
                matrix = matrix.unsqueeze(-3)  # [..., 1, L, S]
            fits = _broadcasts(matrix, scores)
        if padding is not None:
            fits = fits and padding.dim() < scores.dim() - heads
            between = [1] * (scores.dim() - padding.dim())
            padding = padding.reshape(*padding.shape[:-1], *between, padding.shape[-1])
            fits = fits and _broadcasts(padding, scores)  # [B, 1, ..., 1, S]
        if not fits:
            raise ValueError(self._misfit(scores))
        mask = _combined(matrix, padding)
        if mask is None or mask.dtype == torch.bool:
            return None, mask
        allowed = mask > float("-inf")
        return mask.masked_fill(~allowed, 0.0).to(scores.dtype), allowed

    def _misfit(self, scores: Tensor) -> str:
        parts = [
            f"{name} of {list(part.shape)}"
            for name, part in (("a mask", self.matrix), ("key padding", self.key_padding))
            if part is not None
        ]
        text = (
            f"{' and '.join(parts)} does not fit scores of {list(scores.shape)}: a mask is [L, S] "
            "for the whole batch or [..., L, S]"
        )
        if self.matrix is not None and self.matrix.shape == (*scores.shape[:1], scores.shape[-1]):
            text += "; key padding [B, S] is given as AttentionMask.padding(mask)"
        return text


def _combined(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """A mask that allows what both allow and adds what both add; boolean if both are."""
    if one is None or other is None:
        return other if one is None else one
    if one.dtype == other.dtype == torch.bool:
        return one & other
    if one.dtype == torch.bool:
        return torch.where(one, other, float("-inf"))
    if other.dtype == torch.bool:
        return torch.where(other, one, float("-inf"))
    return one + other


def _broadcasts(mask: Tensor, scores: Tensor) -> bool:
    """`torch.broadcast_shapes` would import sympy at its first call, which takes half a second."""
    pairs = zip(reversed(mask.shape), reversed(scores.shape), strict=False)
    return mask.dim() <= scores.dim() and all(size in (1, whole) for size, whole in pairs)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last dimension, exactly 0 where the mask is False.

    scores [..., S], mask boolean and broadcastable to it -> [..., S]. A wholly masked row gives
    zeros, not NaN, and passes no gradient: forbidden scores become the smallest finite number,
    which exponentiates to 0 beside any other score in every floating type.
    """
    if mask is None:
        return scores.softmax(-1)
    floor = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, floor).softmax(-1) * mask
