"""What the data hands to the model: padded ids, and where they came from."""

from __future__ import annotations  # torch is for type checkers only: workers start without it

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Ids that every vocabulary starts with."""


class BatchPosition(NamedTuple):
    """A place in the endless stream of batches: the batch that comes next."""

    epoch: int  # from 1
    batch: int  # from 0, within the epoch


FIRST_BATCH = BatchPosition(epoch=1, batch=0)


@dataclass(frozen=True, slots=True)
class Batch:
    """B sentence pairs, padded; sources end in EOS, targets start with BOS and end in EOS."""

    source_ids: Tensor  # [B, S] int64
    source_lengths: Tensor  # [B] int64, on the CPU
    target_ids: Tensor  # [B, T+1] int64
    lines: tuple[int, ...]  # B line numbers in the corpus, from 1
    position: BatchPosition  # of this batch
    read_ids: Tensor | None = None  # [B, T] read in place of the targets

    @property
    def decoder_input(self) -> Tensor:
        """What the decoder reads, BOS first. [B, T]"""
        return self.target_ids[:, :-1] if self.read_ids is None else self.read_ids

    @property
    def labels(self) -> Tensor:
        """What the decoder should write, EOS last. [B, T]"""
        return self.target_ids[:, 1:]

    def shape(self) -> str:
        """In words, as an error names it."""
        pairs, source = self.source_ids.shape
        return f"a batch of {pairs} pairs, {source} source by {self.labels.shape[1]} target pieces"

    def repeated(self, times: int) -> Batch:
        """The same pairs so many times, one copy of all below the other."""
        if times == 1:
            return self
        return self._with_ids(
            lambda ids: ids.repeat(times, 1),
            source_lengths=self.source_lengths.repeat(times),
            lines=self.lines * times,
        )

    def to(self, device: str) -> Batch:
        return self._with_ids(lambda ids: ids.to(device))

    def _with_ids(self, change: Callable[[Tensor], Tensor], **others: Any) -> Batch:
        """The same change to all that holds ids."""
        return replace(
            self,
            source_ids=change(self.source_ids),
            target_ids=change(self.target_ids),
            read_ids=None if self.read_ids is None else change(self.read_ids),
            **others,
        )


def pad_sources(sources: Sequence[Iterable[int]]) -> tuple[Tensor, Tensor]:
    """Sources as they go into an encoder, EOS behind each -> ids [B, S], lengths [B]"""
    import torch

    rows = [[*map(int, ids), EOS] for ids in sources]
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows]), lengths
