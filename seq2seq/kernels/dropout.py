"""Dropout with masks that are cheap to draw."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.batch import Share

_STEPS = 2**16  # a mask's probability is a multiple of 1 / 65,536


class Dropout(nn.Module):
    """Set entries to zero with probability p while training, and scale the rest by 1 / (1 - p).

    Srivastava et al. (2014). `variational`: one mask for all positions of a sequence (Gal &
    Ghahramani, 2016, section 4). Four entries are drawn with one random number, which on a CPU
    takes an eighth of the time of `torch.nn.functional.dropout`.
    """

    def __init__(self, p: float = 0.0, *, variational: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"a probability of dropout is {p}; it must be at least 0 and under 1")
        self.p = p
        self.variational = variational

    def forward(self, values: Tensor) -> Tensor:
        """values [B, ..., D], positions between the first dimension and the last"""
        if not self.training or not self.p:
            return values
        shape = list(values.shape)
        if self.variational:
            shape[1:-1] = [1] * (len(shape) - 2)
        return values * keep_mask(shape, self.p, values)

    def for_steps(self) -> Callable[[Tensor], Tensor]:
        """This dropout for the steps of one unroll, [B, D] each; variational: one mask for all."""
        if not (self.variational and self.training and self.p):
            return self.forward
        masks: list[Tensor] = []  # drawn at the first step, when the shape is known

        def drop(values: Tensor) -> Tensor:
            if not masks:
                masks.append(keep_mask(list(values.shape), self.p, values))
            return values * masks[0]

        return drop

    def extra_repr(self) -> str:
        return f"p={self.p}, variational={self.variational}"


class WordDropout(nn.Module):
    """Set whole embeddings to zero with probability p while training, without scaling the rest.

    Iyyer et al. (2015), section 3.1. Sennrich & Zhang (2019) use it for little data, in a toolkit
    that scales the embeddings that are kept by 1 / (1 - p).
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, embedded: Tensor, exempt: Tensor | None = None) -> Tensor:
        """embedded [..., E]; exempt [...] bool, positions that are never dropped"""
        if not self.training or not self.p:
            return embedded
        kept = uniform_rows(embedded.shape[:-1], device=embedded.device) >= self.p
        if exempt is not None:
            kept |= exempt
        return embedded * kept.unsqueeze(-1)


class EmbeddingDropout(nn.Module):
    """Word dropout, then dropout of the entries of the other embeddings."""

    def __init__(self, p: float, *, words: float, variational: bool) -> None:
        super().__init__()
        self.words = WordDropout(words)
        self.entries = Dropout(p, variational=variational)

    def forward(self, embedded: Tensor, exempt: Tensor | None = None) -> Tensor:
        """embedded [B, ..., E]; exempt [B, ...] bool, positions without word dropout"""
        return self.entries(self.words(embedded, exempt))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropoutRates:
    """The probabilities of dropout in an encoder or a decoder, while training."""

    embedding: float = 0.0  # of entries of embeddings
    word: float = 0.0  # of whole embeddings
    output: float = 0.0  # of entries of an encoder layer's output, or of a decoder's readout
    variational: bool = False  # one mask for all positions of a sequence

    def embedding_dropout(self) -> EmbeddingDropout:
        return EmbeddingDropout(self.embedding, words=self.word, variational=self.variational)

    def output_dropout(self) -> Dropout:
        return Dropout(self.output, variational=self.variational)


NO_DROPOUT = DropoutRates()


def keep_mask(shape: list[int], p: float, like: Tensor) -> Tensor:
    """1 / (1 - p) with probability 1 - p, else 0, of the dtype and on the device of `like`.

    The first dimension is the rows of the batch.
    """
    if like.device.type != "cpu":
        return like.new_empty(shape).bernoulli_(1 - p).div_(1 - p)
    dropped = min(round(p * _STEPS), _STEPS - 1)
    kept = drawn_rows(shape, lambda whole: random_mask(whole, dropped))
    return kept.to(like.dtype).mul_(_STEPS / (_STEPS - dropped))


def uniform_rows(
    shape: Sequence[int], *, device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Numbers in [0, 1); the first dimension is the rows of the batch."""
    if device.type != "cpu":
        return torch.rand([*shape], device=device, dtype=dtype)
    return drawn_rows(shape, lambda whole: torch.rand(whole, dtype=dtype))


_active_share: ContextVar[Share | None] = ContextVar("_active_share", default=None)


@contextmanager
def drawing_for(share: Share | None) -> Iterator[None]:
    """Inside the `with` block, what is drawn on a CPU is drawn for a whole batch, and cut.

    So the random numbers of a row do not depend on which process has it. On a GPU each process
    draws for its own rows alone.
    """
    before = _active_share.set(share)
    try:
        yield
    finally:
        _active_share.reset(before)


def drawn_rows(
    shape: Sequence[int], draw: Callable[[list[int]], Tensor], share: Share | None = None
) -> Tensor:
    """`draw(shape)`, or its rows of the draw for the whole batch: of `share`, else of
    `drawing_for`."""
    share = share or _active_share.get()
    if share is None:
        return draw([*shape])
    return share.cut(draw([share.rows, *shape[1:]]))


def random_mask(shape: list[int], dropped: int) -> Tensor:
    """True with probability 1 - dropped / 65,536, on the CPU. -> bool of that shape"""
    count = torch.Size(shape).numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.int16)[:count]
    return drawn.view(shape) >= dropped - _STEPS // 2
