"""Masks: boolean, True where something real may be looked at, made once from lengths."""

import torch
from torch import Tensor


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """Mark the first `lengths[b]` of `width` positions. lengths [B] -> [B, width]."""
    return torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last dimension, exactly 0 where the mask is False.

    scores [..., N], mask broadcastable to it -> [..., N]. A wholly masked row gives zeros, not
    NaN, and passes no gradient: forbidden scores become the smallest finite number, which
    exponentiates to 0 beside any real score in every floating type.
    """
    if mask is None:
        return scores.softmax(-1)
    floor = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, floor).softmax(-1) * mask
