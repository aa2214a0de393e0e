"""Matrix products of search, with weights packed once: float32, or rounded to bfloat16 or int8.

`linear` is `deferrable_linear` unless `PackedProducts` are active; the large products of a decoding
step call it: those of the recurrent cells, the readout and the output layer. Weights are packed
when they are first used. All else of a step is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from threading import RLock
from typing import Any, Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.kernels.deferred_gradients import deferrable_linear
from seq2seq.kernels.packed_weights import (
    OneDNNWeight,
    PackedWeight,
    has_packed_products,
    multiplies,
)
from seq2seq.kernels.precision import has_bfloat16_products

SearchPrecision = Literal["float32", "bfloat16", "int8"]
Value = TypeVar("Value")

_WITHOUT_OVERFLOW = ("avx512_vnni", "avx_vnni", "amx_int8")  # of x86 processors
_MOST_KEPT = 2**26  # numbers that `function_of_ids` keeps at most: 256 MiB in float32
_SMALLEST = 1e-30  # peak of a row of activations: the scale of a row of zeros is not 0


def search_precision(precision: str, device: str) -> SearchPrecision:
    """The precision of products for `search.precision` on a device.

    Raises ConfigError where the device has no such products.
    """
    on_cpu = device == "cpu"
    if precision == "auto":
        if on_cpu and has_int8_products():
            return "int8"
        return "bfloat16" if has_bfloat16_products(device) else "float32"
    if precision == "int8" and not (on_cpu and has_int8_products()):
        raise ConfigError(
            f"search.precision is int8, but there are no int8 products on {device}"
            + ("" if on_cpu else ": they are for the CPU"),
            hint="use auto, bfloat16 or float32" + ("" if on_cpu else ", or --device cpu"),
        )
    return cast(SearchPrecision, precision)


def search_products(precision: SearchPrecision, device: str) -> PackedProducts | None:
    """Products for search in a precision; None where those of `F.linear` are as good."""
    if precision == "float32" and not (device == "cpu" and has_packed_products()):
        return None
    return PackedProducts(precision)


class PackedProducts:
    """Products with the weights of one model, which must not change any more.

    Not for training: there are no gradients.
    """

    def __init__(self, precision: SearchPrecision) -> None:
        self.precision = precision
        self._weights: dict[Any, tuple[Tensor, PackedWeight]] = {}  # by memory, which they keep
        self._made: dict[int, tuple[object, Any]] = {}
        self._making = RLock()  # several threads may multiply at once

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it, `linear` makes these products, in this thread."""
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def linear(self, inputs: Tensor, weight: Tensor, addend: Tensor | None) -> Tensor:
        """x W^T + b. inputs [..., I], weight [G, I], addend [G] or [..., G] -> [..., G]"""
        key = (weight.data_ptr(), *weight.shape, *weight.stride())
        if key not in self._weights:
            with self._making:
                if key not in self._weights:
                    self._weights[key] = weight, self.pack(weight)
        if addend is not None and addend.dim() > 1:
            addend = addend.reshape(-1, len(weight))
        product = self._weights[key][1](inputs.reshape(-1, inputs.shape[-1]), addend)
        return product.reshape(*inputs.shape[:-1], len(weight))

    def pack(self, weight: Tensor) -> PackedWeight:
        """weight [G, I]"""
        if self.precision == "int8":
            return Int8Weight(weight)
        return Bfloat16Weight(weight) if self.precision == "bfloat16" else OneDNNWeight(weight)

    def once(self, owner: object, make: Callable[[], Value]) -> Value:
        """The value of the first `make` for this owner, such as rows of a weight."""
        if id(owner) not in self._made:
            with self._making:
                if id(owner) not in self._made:
                    self._made[id(owner)] = owner, make()
        return self._made[id(owner)][1]  # type: ignore[no-any-return]


_active: ContextVar[PackedProducts | None] = ContextVar("packed_products", default=None)


def active_products() -> PackedProducts | None:
    """The products that `linear` makes; None for those of `F.linear`."""
    return _active.get()


def linear(inputs: Tensor, weight: Tensor, addend: Tensor | None = None) -> Tensor:
    """x W^T + b, in the precision that is active.

    inputs [..., I], weight [G, I], addend [G] or [..., G] -> [..., G]
    """
    products = _active.get()
    if products is None:
        return deferrable_linear(inputs, weight, addend)
    return products.linear(inputs, weight, addend)


def bound_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The products of `linear` with a weight that is used for a short time: nothing keeps it."""
    products = _active.get()
    if products is None:
        return partial(F.linear, weight=weight, bias=bias)
    packed = products.pack(weight)

    def product(inputs: Tensor) -> Tensor:
        flat = packed(inputs.reshape(-1, inputs.shape[-1]), bias)
        return flat.reshape(*inputs.shape[:-1], len(weight))

    return product


def function_of_ids(
    owner: object, function: Callable[[Tensor], Tensor], ids: Tensor, *, vocabulary: int
) -> Tensor:
    """A function of each id; products that are active on a CPU keep the rows of ids seen before.

    function: ids [R'] -> [R', G], each row by its id alone; the only one of its owner
    ids: [R] -> [R, G]
    """
    products = _active.get()
    if products is None or ids.is_cuda:
        return function(ids)
    kept = products.once(owner, lambda: KeptRows(function, vocabulary))
    return kept(ids)


class KeptRows:
    """The rows of a function of ids, each computed when it is needed for the first time."""

    def __init__(self, function: Callable[[Tensor], Tensor], vocabulary: int) -> None:
        self._function = function
        like = function(torch.zeros(1, dtype=torch.int64))  # [1, G]
        self._keeps = vocabulary * like.shape[1] <= _MOST_KEPT
        self._rows = like.new_empty(vocabulary if self._keeps else 0, like.shape[1])
        self._known = torch.zeros(len(self._rows), dtype=torch.bool)

    def __call__(self, ids: Tensor) -> Tensor:
        if not self._keeps:
            return self._function(ids)
        new = ids[~self._known.index_select(0, ids)]
        if len(new):
            new = torch.unique(new)
            self._rows[new] = self._function(new)
            self._known[new] = True  # only now: another thread may be using these rows
        return self._rows.index_select(0, ids)


class Bfloat16Weight:
    """x W^T with both factors rounded to bfloat16, summed in float32 and rounded once more."""

    def __init__(self, weight: Tensor) -> None:
        """weight [G, I]"""
        rounded, device = weight.to(torch.bfloat16), weight.device.type
        packs = device == "cpu" and has_packed_products() and has_bfloat16_products(device)
        self._product: Callable[[Tensor], Tensor] = (
            OneDNNWeight(rounded) if packs else partial(F.linear, weight=rounded)
        )

    def __call__(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        product = self._product(inputs.to(torch.bfloat16)).float()
        return product if addend is None else product.add_(addend)


class Int8Weight:
    """x W^T in whole numbers: w = s_g v for each row of W, x = s_r u for each row of x.

    v are in -127..127 and u in -levels..levels, rounded; products and sums of whole numbers are
    exact, so that the result for one row depends neither on the others nor on the number of
    threads.
    """

    def __init__(self, weight: Tensor) -> None:
        """weight [G, I]"""
        peak = weight.float().abs().amax(1)  # [G]
        self._scales = peak.where(peak > 0, 1.0) / 127
        numbers = (weight.float() / self._scales.unsqueeze(1)).round_().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(numbers, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._levels = int8_levels()
        self._zero = self._levels + 1  # the kernel takes unsigned activations
        self._offset = torch.tensor(self._zero + 0.5)  # truncation then rounds

    def __call__(self, inputs: Tensor, addend: Tensor | None) -> Tensor:
        peak = inputs.abs().amax(1, keepdim=True)  # [R, 1]
        scales = peak.clamp_(min=_SMALLEST).div_(self._levels)
        numbers = torch.addcdiv(self._offset, inputs, scales).to(torch.uint8)  # [R, I]
        product = torch.ops.onednn.qlinear_pointwise(
            numbers, 1.0, self._zero, self._packed, self._scales, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # [R, G]  # fmt: skip
        if addend is None:
            return product.mul_(scales)  # type: ignore[no-any-return]
        return torch.addcmul(addend, product, scales, out=product)


@cache
def int8_levels() -> int:
    """The largest whole number that an activation may become.

    x86 processors without an instruction for the purpose add two products in 16 bits, which only
    hold those of 7 bits times 8.
    """
    capabilities = torch.cpu.get_capabilities()
    x86 = capabilities.get("architecture") == "x86_64"
    exact = any(capabilities.get(name) for name in _WITHOUT_OVERFLOW)
    return 127 if exact or not x86 else 63


@cache
def has_int8_products() -> bool:
    """Whether this build of torch has int8 products on this processor, and they are right."""
    return multiplies(Int8Weight, error=0.05)
