"""The time that only the matrix products of one update take: a limit for every such trainer.

Every product of the model (one bidirectional LSTM layer, an LSTM decoder with attention and
feedback) is listed with its shape for a mean batch, and run in this torch on as many threads,
forward and backward: no gates, no softmax, no loss, no Adam, no Python but a loop over the list.
There is no padding: the mean batch has B sentences of S source and T target tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.job import Order, Sizes
from benchmarks.timer import synchronized_clock


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
    """`times` products [rows, inner] x [inner, columns]; a `batch` over 1 makes each a bmm."""

    name: str
    rows: int
    inner: int
    columns: int
    times: int = 1
    batch: int = 1

    @property
    def multiply_adds(self) -> int:
        return self.times * self.batch * self.rows * self.inner * self.columns


def forward(sizes: Sizes, batch: MeanBatch, order: Order = "luong") -> list[Product]:
    """The products of a forward pass. Those of the recurrence are one for each time step."""
    B, S, T = batch.sentences, batch.source, batch.target  # noqa: N806 - the legend's letters
    E, h, H, M = sizes.embedding, sizes.encoder, sizes.decoder, sizes.memory  # noqa: N806
    F = feedback_size(sizes, order)  # noqa: N806
    listed = [
        Product("encoder, embeddings to gates", B * S, E, 4 * h, times=2),
        Product("encoder, state to gates", B, h, 4 * h, times=2 * S),
        Product("decoder, embeddings to gates", B * T, E, 4 * H),
        # the state and the feedback (readout or context) in one product
        Product("decoder, state and feedback to gates", B, H + F, 4 * H, times=T),
    ]
    if order == "luong":
        listed += [
            Product("attention, memory to keys", B * S, M, H),
            Product("attention, scores", 1, H, S, times=T, batch=B),
        ]
    else:
        A = sizes.attention  # noqa: N806
        listed += [
            Product("attention, memory to keys", B * S, M, A),
            Product("attention, query", B, H, A, times=T),
            Product("attention, tanh to scores", B * S, A, 1, times=T),
        ]
    listed.append(Product("attention, context", 1, S, M, times=T, batch=B))
    if order == "luong":  # the readout is fed back, so it is computed step by step
        listed.append(Product("readout", B, H + M, H, times=T))
    else:
        listed.append(Product("readout", B * T, H + M, H))
    return [*listed, Product("output layer", B * T, H, sizes.vocabulary)]


def feedback_size(sizes: Sizes, order: Order) -> int:
    """The width of what the decoder's cell gets beside the embedding: readout or context."""
    return sizes.decoder if order == "luong" else sizes.memory


def backward(product: Product) -> list[Product]:
    """The gradients of both sides of [m, k] x [k, n]: [m, n] x [n, k] and [k, m] x [m, n].

    The gradient of a weight used at every step is one product over all steps, the fastest way; both
    sides of a bmm are activations, so each step has its own two products.
    """
    m, k, n = product.rows, product.inner, product.columns
    name, times, batch = product.name, product.times, product.batch
    inputs = Product(f"{name}: input", m, n, k, times, batch)
    if batch > 1:
        return [inputs, Product(f"{name}: other input", k, m, n, times, batch)]
    weights = 2 if name.startswith("encoder") else 1  # one for each direction
    return [inputs, Product(f"{name}: weight", k, m * times // weights, n, weights)]


def update(sizes: Sizes, batch: MeanBatch, order: Order = "luong") -> list[Product]:
    """The products of a forward and a backward pass; embeddings need none."""
    listed = forward(sizes, batch, order)
    return [*listed, *(gradient for product in listed for gradient in backward(product))]


def seconds(
    products: list[Product],
    *,
    precision: str = "float32",
    threads: int,
    device: str = "cpu",
    repetitions: int = 7,
) -> float:
    """Seconds to run all products one after the other: the least of some repetitions."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = [_prepared(product, getattr(torch, precision), device) for product in products]
        taken = [_timed(runs, synchronized_clock(device)) for _ in range(repetitions + 1)]
    finally:
        torch.set_num_threads(before)
    return min(taken[1:])  # the first one warms up


def peak(precision: str, *, device: str, side: int = 8192) -> float:
    """Multiply-adds a second of a product of two large square matrices."""
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
    leading = (product.batch,) if product.batch > 1 else ()
    left = torch.randn(*leading, product.rows, product.inner)
    return left, torch.randn(*leading, product.inner, product.columns)


def _timed(runs: list[Callable[[], None]], clock: Callable[[], float]) -> float:
    began = clock()
    with torch.inference_mode():
        for run in runs:
            run()
    return clock() - began
