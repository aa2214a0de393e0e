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
    source_lengths: Tensor  # [B] int64; on the CPU, but for what is recorded on a GPU
    target_ids: Tensor  # [B, T+1] int64
    lines: tuple[int, ...]  # B line numbers in the corpus, from 1
    position: BatchPosition  # of this batch
    decoder_input_ids: Tensor | None = None  # [B, T] read in place of the targets
    places: Tensor | None = None  # [N], what `nonpad_positions` gives, where it is known already

    @property
    def decoder_input(self) -> Tensor:
        """What the decoder reads, BOS first. [B, T]"""
        return self.target_ids[:, :-1] if self.decoder_input_ids is None else self.decoder_input_ids

    @property
    def labels(self) -> Tensor:
        """What the decoder should write, EOS last. [B, T]"""
        return self.target_ids[:, 1:]

    @property
    def nonpad_positions(self) -> Tensor:
        """Where `labels` flattened are not padding. [N]"""
        if self.places is not None:
            return self.places
        return (self.labels != PAD).flatten().nonzero().squeeze(1)

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
        """On a device. What is real is looked up first: a GPU would have to be waited for."""
        if device == "cpu" or self.source_ids.is_cuda:
            return self
        places = _sent(self.nonpad_positions, device)
        return self._with_ids(lambda ids: _sent(ids, device), places=places)

    def _with_ids(self, change: Callable[[Tensor], Tensor], **others: Any) -> Batch:
        """The same change to all that holds ids."""
        return replace(
            self,
            source_ids=change(self.source_ids),
            target_ids=change(self.target_ids),
            decoder_input_ids=None
            if self.decoder_input_ids is None
            else change(self.decoder_input_ids),
            **others,
        )


def _sent(ids: Tensor, device: str) -> Tensor:
    """From memory that is pinned, so that nobody waits until it is there."""
    return ids.pin_memory().to(device, non_blocking=True)


def pad_sources(sources: Sequence[Iterable[int]]) -> tuple[Tensor, Tensor]:
    """Sources as they go into an encoder, EOS behind each -> ids [B, S], lengths [B]"""
    import torch

    rows = [[*map(int, ids), EOS] for ids in sources]
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows]), lengths
