"""Which positions of padded sequences hold tokens."""

import torch
from torch import Tensor


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """Mark the first `lengths[b]` of `width` positions. lengths [B] -> [B, width]."""
    return torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)
