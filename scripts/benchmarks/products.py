"""The time that the matrix products of one update take alone: what no such trainer can beat.

Every product of the model (one bidirectional LSTM layer, an LSTM decoder with attention and a
readout that is fed back) is listed with its shape for a mean batch, and run in this torch on as
many threads, forward and backward: no gates, no softmax, no loss, no Adam, no Python between steps
but the loop of the list. Padding is left out: the mean batch has B sentences of S source and T
target tokens, all equally long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.job import Order, Sizes
from benchmarks.window import finished_work


@dataclass(frozen=True)
class MeanBatch:
    """B sentences of S source and T target tokens, EOS included."""

    sentences: int
    source: int
    target: int

    @property
    def target_tokens(self) -> int:
        return self.sentences * self.target


@dataclass(frozen=True)
class Product:
    """`times` products [rows, inner] x [inner, columns], each `heap` of them at once (bmm)."""

    name: str
    rows: int
    inner: int
    columns: int
    times: int = 1
    heap: int = 1

    @property
    def multiply_adds(self) -> int:
        return self.times * self.heap * self.rows * self.inner * self.columns


def forward(sizes: Sizes, batch: MeanBatch, order: Order = "luong") -> list[Product]:
    """What a forward pass multiplies. Steps in time cannot be joined, all else is."""
    B, S, T = batch.sentences, batch.source, batch.target  # noqa: N806 - the legend's letters
    E, h, H, M = sizes.embedding, sizes.encoder, sizes.decoder, sizes.memory  # noqa: N806
    listed = [
        Product("encoder, embeddings to gates", B * S, E, 4 * h, times=2),
        Product("encoder, state to gates", B, h, 4 * h, times=2 * S),
        Product("decoder, embeddings to gates", B * T, E, 4 * H),
        # the state and what is fed (readout or context) in one product
        Product("decoder, state and fed to gates", B, H + fed(sizes, order), 4 * H, times=T),
    ]
    if order == "luong":
        listed += [
            Product("attention, memory to keys", B * S, M, H),
            Product("attention, scores", 1, H, S, times=T, heap=B),
        ]
    else:
        A = sizes.attention  # noqa: N806
        listed += [
            Product("attention, memory to keys", B * S, M, A),
            Product("attention, query", B, H, A, times=T),
            Product("attention, tanh to scores", B * S, A, 1, times=T),
        ]
    listed.append(Product("attention, context", 1, S, M, times=T, heap=B))
    if order == "luong":  # the readout is fed, so it is made step by step
        listed.append(Product("readout", B, H + M, H, times=T))
    else:
        listed.append(Product("readout", B * T, H + M, H))
    return [*listed, Product("output layer", B * T, H, sizes.vocabulary)]


def fed(sizes: Sizes, order: Order) -> int:
    """The width of what enters the decoder's cell beside the embedding."""
    return sizes.decoder if order == "luong" else sizes.memory


def backward(product: Product) -> list[Product]:
    """The gradients of both sides of [m, k] x [k, n]: [m, n] x [n, k] and [k, m] x [m, n].

    The gradient of a weight used at every step is one product over all steps, the best that can be
    done; of a bmm both sides are activations, so each step has its own two.
    """
    m, k, n = product.rows, product.inner, product.columns
    name, times, heap = product.name, product.times, product.heap
    inputs = Product(f"{name}: input", m, n, k, times, heap)
    if heap > 1:
        return [inputs, Product(f"{name}: other input", k, m, n, times, heap)]
    weights = 2 if name.startswith("encoder") else 1  # one a direction
    return [inputs, Product(f"{name}: weight", k, m * times // weights, n, weights)]


def update(sizes: Sizes, batch: MeanBatch, order: Order = "luong") -> list[Product]:
    """Forward and backward; looking embeddings up multiplies nothing."""
    there = forward(sizes, batch, order)
    return [*there, *(back for product in there for back in backward(product))]


def seconds(
    products: list[Product],
    *,
    precision: str = "float32",
    threads: int,
    device: str = "cpu",
    repetitions: int = 7,
) -> float:
    """The least time of all products, one after the other: a limit is reached at best."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = [_prepared(product, getattr(torch, precision), device) for product in products]
        taken = [_timed(runs, finished_work(device)) for _ in range(repetitions + 1)]
    finally:
        torch.set_num_threads(before)
    return min(taken[1:])  # the first one warms up


def peak(precision: str, *, device: str, side: int = 8192) -> float:
    """Multiply-adds a second of a product of two large squares."""
    square = Product("peak", side, side, side)
    return square.multiply_adds / seconds([square], precision=precision, threads=1, device=device)


def _prepared(product: Product, dtype: torch.dtype, device: str) -> Callable[[], None]:
    left, right = (operand.to(device, dtype) for operand in _operands(product))
    multiply = torch.bmm if left.dim() == 3 else torch.mm
    result = multiply(left, right)

    def run() -> None:
        for _ in range(product.times):
            multiply(left, right, out=result)

    return run


def _operands(product: Product) -> tuple[Tensor, Tensor]:
    stacked = (product.heap,) if product.heap > 1 else ()
    left = torch.randn(*stacked, product.rows, product.inner)
    return left, torch.randn(*stacked, product.inner, product.columns)


def _timed(runs: list[Callable[[], None]], clock: Callable[[], float]) -> float:
    began = clock()
    with torch.inference_mode():
        for run in runs:
            run()
    return clock() - began
