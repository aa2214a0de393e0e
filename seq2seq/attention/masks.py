"""Masks: boolean, True where something real may be looked at, made once from lengths."""

import torch
from torch import Tensor


def causal_mask(length: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Step t may look at steps up to t. -> [length, length]"""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def read_mask(mask: Tensor | None, scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """What is added to scores [..., M, N], and where they may be looked at.

    A mask of one dimension less than the scores is the same for every query. A floating mask is
    the matrix that Vaswani et al. (2017), section 3.2.3, add to the scores: -inf forbids.
    Raises ValueError when it does not fit.
    """
    if mask is None:
        return None, None
    shape = scores.shape
    if mask.dim() < len(shape):
        mask = mask.unsqueeze(-2)  # [..., 1, N]
    try:
        fits = torch.broadcast_shapes(mask.shape, shape) == shape  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"a mask of {list(mask.shape)} does not fit scores of {list(shape)}: "
            "it needs [..., N] or [..., M, N], leading dimensions included"
        )
    if mask.dtype == torch.bool:
        return None, mask
    if not mask.is_floating_point():
        raise ValueError(f"a mask is boolean or floating, not {mask.dtype}")
    visible = mask > float("-inf")
    return mask.masked_fill(~visible, 0.0).to(scores.dtype), visible


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
