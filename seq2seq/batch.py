"""The batch, which data makes and the model takes: padded ids, and where they came from."""

from __future__ import annotations  # torch is for type checkers only: workers start without it

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from torch import Tensor

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Ids that every vocabulary starts with."""


class BatchPosition(NamedTuple):
    """A position in the endless stream of batches: the batch that comes next."""

    epoch: int  # from 1
    batch: int  # from 0, within the epoch

    def next(self) -> BatchPosition:
        """The position behind this one, within the epoch."""
        return BatchPosition(self.epoch, self.batch + 1)


FIRST_BATCH = BatchPosition(epoch=1, batch=0)


class Share(NamedTuple):
    """Rows of a whole batch that one of several processes has: `first` and every `step`-th."""

    first: int
    step: int
    rows: int  # B of the whole batch

    @classmethod
    def of(cls, rows: int, *, rank: int, size: int) -> Share:
        """The rows of a rank; row 0 alone for a rank for which there is none."""
        return cls(rank, size, rows) if rank < rows else cls(0, rows, rows)

    def cut(self, whole: Tensor) -> Tensor:
        """[B, ...] -> the rows of this share."""
        return whole[self.first :: self.step]


class _TensorFields:
    """A dataclass some of whose fields are tensors, or again such dataclasses."""

    __slots__ = ()

    def map(self, change: Callable[..., Tensor], *others: Self) -> Self:
        """A copy whose tensors are `change(mine, *theirs)`; all other fields are kept.

        `theirs` are the tensors of the same field of each of `others`.
        """
        from torch import Tensor

        changed: dict[str, object] = {}
        for field in fields(self):  # type: ignore[arg-type]
            mine, *theirs = (getattr(each, field.name) for each in (self, *others))
            if isinstance(mine, _TensorFields):
                changed[field.name] = mine.map(change, *theirs)
            elif isinstance(mine, Tensor):
                changed[field.name] = change(mine, *theirs)
        return replace(self, **changed)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Source(_TensorFields):
    """B source sentences, padded; each ends in EOS."""

    ids: Tensor  # [B, S] int64
    lengths: Tensor  # [B] int64, EOS included; on the CPU, except inside CUDA graphs
    keeps_width: bool = False  # a share of a batch, encoded as wide as all of it

    def to(self, device: str) -> Source:
        """The ids on a device; the lengths stay on the CPU, where reading them waits for no GPU."""
        if device == "cpu" or self.ids.is_cuda:
            return self
        return replace(self, ids=_send(self.ids, device))


@dataclass(frozen=True, slots=True)
class AttentionTargets(_TensorFields):
    """The attention that links of words ask for, for guided alignment."""

    weights: Tensor  # [B, T, S] float32; each row sums to 1, or to 0 where nothing is asked
    importance: Tensor  # [B, T] float32, by which the loss of a row is multiplied; 0 where no links


@dataclass(frozen=True, slots=True)
class Batch(_TensorFields):
    """B sentence pairs, padded; sources end in EOS, targets start with BOS and end in EOS."""

    source: Source
    target_ids: Tensor  # [B, T+1] int64
    lines: tuple[int, ...]  # B line numbers in the corpus, from 1
    position: BatchPosition  # of this batch
    decoder_input_ids: Tensor | None = None  # [B, T] for the decoder, in place of the targets
    known_nonpad_positions: Tensor | None = None  # [P] cache of `nonpad_positions`
    attention_targets: AttentionTargets | None = None
    share: Share | None = None  # which rows of a whole batch these are

    @property
    def decoder_input(self) -> Tensor:
        """The decoder's input ids, BOS first. [B, T]"""
        return self.target_ids[:, :-1] if self.decoder_input_ids is None else self.decoder_input_ids

    @property
    def labels(self) -> Tensor:
        """The ids that the decoder should predict, EOS last. [B, T]"""
        return self.target_ids[:, 1:]

    @property
    def nonpad_positions(self) -> Tensor:
        """Indices of the flattened `labels` that are not padding. [P]"""
        if self.known_nonpad_positions is not None:
            return self.known_nonpad_positions
        return (self.labels != PAD).flatten().nonzero().squeeze(1)

    @property
    def target_tokens(self) -> int:
        """P, the labels that are not padding."""
        return len(self.nonpad_positions)

    def shared(self, rank: int, size: int) -> Batch:
        """The rows of one of `size` processes: each `size`-th, as wide as the whole batch.

        Neighbouring rows are of similar length, so all processes have as much to do. One for which
        there is no row gets the first with padding for labels: it draws the same random numbers as
        the others, and adds nothing to the loss.
        """
        import torch

        whole = len(self.lines)
        share = Share.of(whole, rank=rank, size=size)
        batch = self.map(share.cut)
        if rank >= whole:
            batch = replace(
                batch,
                target_ids=torch.full_like(batch.target_ids, PAD),
                attention_targets=batch.attention_targets
                and batch.attention_targets.map(torch.zeros_like),
            )
        return replace(
            batch,
            source=replace(batch.source, keeps_width=True),
            lines=self.lines[share.first :: share.step],
            share=share,
        )

    def describe(self) -> str:
        """The size in words, as error messages name it."""
        pairs, source = self.source.ids.shape
        return f"a batch of {pairs} pairs, {source} source by {self.labels.shape[1]} target pieces"

    def to(self, device: str) -> Batch:
        """Copy the batch to a device; `source.lengths` stay on the CPU.

        The positions that are not padding are found first: on a GPU that would wait for it.
        """
        if device == "cpu" or self.source.ids.is_cuda:
            return self
        found, lengths = self.nonpad_positions, self.source.lengths
        return replace(self, known_nonpad_positions=found).map(
            lambda tensor: tensor if tensor is lengths else _send(tensor, device)
        )

    def padded_to(self, sentences: int, source_width: int, target_width: int) -> Batch:
        """The batch padded to fixed sizes, which CUDA graphs need: B, S and T become those given.

        Padding fills up each sentence, and pairs of an empty source and no labels fill up the rows.
        """
        import torch

        ids = torch.full((sentences, source_width), PAD)
        ids[:, :2] = EOS  # attention needs something that is not padding
        targets = torch.full((sentences, target_width + 1), PAD)
        empty = replace(
            self,
            source=Source(ids, torch.full((sentences,), 2)),
            target_ids=targets,
            decoder_input_ids=None if self.decoder_input_ids is None else targets[:, 1:].clone(),
            known_nonpad_positions=None,
            attention_targets=None
            if self.attention_targets is None
            else AttentionTargets(
                torch.zeros(sentences, target_width, source_width),
                torch.zeros(sentences, target_width),
            ),
        )
        return empty.map(_fill_corner, self)

    def copy_from(self, other: Batch) -> None:
        """Overwrite all tensors in place, from a batch of the same size on the CPU."""

        def copy(mine: Tensor, new: Tensor) -> Tensor:
            return mine.copy_(new.pin_memory() if mine.is_cuda else new, non_blocking=True)

        self.map(copy, other)


def _send(tensor: Tensor, device: str) -> Tensor:
    """On a GPU, from pinned memory, so that the copy need not be waited for."""
    return tensor.pin_memory().to(device, non_blocking=True)


def _fill_corner(rows: Tensor, values: Tensor) -> Tensor:
    """`values` in the upper left corner of `rows`, and padding right of them."""
    rows[: len(values)] = PAD
    rows[tuple(map(slice, values.shape))] = values
    return rows


def pad_sources(sources: Sequence[Iterable[int]]) -> Source:
    """Source ids without EOS, padded for an encoder, EOS at the end of each."""
    import torch

    rows = [[*map(int, ids), EOS] for ids in sources]
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    return Source(ids, lengths)
