"""In which type training makes its products; weights, sums and statistics are float32 anyway."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

_BFLOAT16_PRODUCTS = ("avx512_bf16", "amx_bf16", "bf16")  # on x86 and on Arm


def compute_dtype(precision: str, device: str) -> torch.dtype:
    """The type of products for `training.precision` on a device.

    "auto" is bfloat16 where the processor multiplies it in hardware, else float32: without, the
    same products take longer than in float32.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    return torch.bfloat16 if has_bfloat16_products(device) else torch.float32


@cache
def has_bfloat16_products(device: str) -> bool:
    """Whether a device makes products of bfloat16 in hardware."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in _BFLOAT16_PRODUCTS)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """For a library's recurrent layer, which refuses bfloat16 that is not made in hardware."""
    if device.type != "cpu" or has_bfloat16_products("cpu"):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


def autocast_to(kind: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Make products in that type; nothing at all for float32, so that losses stay as they are."""
    if kind == torch.float32:
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=kind)


def autocast_dtype(tensor: Tensor) -> torch.dtype:
    """The type of a product that this tensor enters: autocast's, which leaves float64 alone."""
    device = tensor.device.type
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor.dtype
    return torch.get_autocast_dtype(device)
