"""The dtype of matrix products in training; weights, sums and statistics are always float32."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

_BFLOAT16_PRODUCTS = ("avx512_bf16", "amx_bf16", "bf16")  # on x86 and on Arm


def compute_dtype(precision: str, device: str) -> torch.dtype:
    """The dtype of matrix products for `training.precision` on a device.

    "auto" is bfloat16 where the processor multiplies it in hardware, else float32, which is then
    faster.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    return torch.bfloat16 if has_bfloat16_products(device) else torch.float32


@cache
def has_bfloat16_products(device: str) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in _BFLOAT16_PRODUCTS)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Turn autocast off on CPUs without bfloat16 products: PyTorch's recurrent layers refuse it."""
    if device.type != "cpu" or has_bfloat16_products("cpu"):
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


def autocast_to(dtype: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Autocast matrix products to a dtype; does nothing at all for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=dtype)


def autocast_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype of a product with this tensor: autocast's, which leaves float64 as it is."""
    device = tensor.device.type
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return tensor.dtype
    return torch.get_autocast_dtype(device)
