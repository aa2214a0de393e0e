"""Token-budget batches, in an order that is a pure function of seed and epoch.

The loader has no state to save: a resumed run needs the seed, the epoch and the number of the next
batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data.links import LinkGuide
from data.subword_sampling import SubwordSampling
from data.token_store import Indices, IntArray, Lengths, StoredCorpus, TokenizedSplit
from seq2seq.batch import BOS, EOS, PAD, Batch, BatchPosition, Source
from seq2seq.system.streams import stream_seed

SIZE_MULTIPLE = 8  # of the pairs in a batch: libraries prepare anew for each new shape
POOL_BATCHES = 128  # batches whose pairs are regrouped together, once their pieces are sampled
Curriculum = Literal["none", "length"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochPlan:
    """The settings that determine the batches of every epoch."""

    budget: int
    """Padded tokens in a batch, EOS or BOS included, of the longer side. It counts the pieces in
    the store: with `sampling` there are more, and batches are larger in proportion."""
    seed: int
    corpora: Sequence[StoredCorpus] = ()
    """Their weights say how often an epoch has each pair; none: each pair once."""
    curriculum: Curriculum = "none"
    """length: the batches of the first epoch go from short to long (Kocmi & Bojar, 2017)."""
    sampling: SubwordSampling | None = None
    """Draws other pieces for the same sentences in each epoch."""
    guide: LinkGuide | None = None
    """Adds the attention that links ask for to each batch; not together with `sampling`."""

    def short_first(self, epoch: int) -> bool:
        """Whether an epoch goes from short batches to long ones."""
        return self.curriculum == "length" and epoch == 1


def token_budget_batches(
    split: TokenizedSplit,
    plan: EpochPlan,
    *,
    start: BatchPosition,
    groups: list[Indices] | None = None,
) -> Iterator[Batch]:
    """Batches without end, epoch after epoch, from `start` on.

    Sentences of similar length go together, so that there is little padding; a batch has as many
    pairs as the budget allows.

    groups: the `pair_groups` of the epoch of `start`, if they are known already
    """
    epoch, first = start
    while True:
        if groups is None:
            groups = pair_groups(split, plan, epoch=epoch)
        if plan.sampling is None:
            for number in range(first, len(groups)):
                yield collate(split, groups[number], BatchPosition(epoch, number), plan.guide)
        else:
            begin = BatchPosition(epoch, first)
            yield from _sampled_batches(split, groups, plan, plan.sampling, start=begin)
        epoch, first, groups = epoch + 1, 0, None


def pair_groups(split: TokenizedSplit, plan: EpochPlan, *, epoch: int) -> list[Indices]:
    """The pairs of each batch of an epoch, in order.

    Each pair comes exactly once, or as often as the weights of the corpora say. With curriculum
    "length" batches of equal length are still shuffled.
    """
    generator = _generator("order", plan.seed, epoch)
    shuffled = _weighted_pairs(plan, epoch) if plan.corpora else np.arange(len(split))
    generator.shuffle(shuffled)  # another order of equal lengths in each epoch
    by_length = shuffled[length_order(split, shuffled)]
    lengths = padded_lengths(split)[by_length]
    runs = split_by_budget(lengths, budget=plan.budget, multiple=SIZE_MULTIPLE)
    groups = [by_length[begin:end] for begin, end in runs]
    return _shuffled(groups, split, generator, short_first=plan.short_first(epoch))


def largest_batch(
    split: TokenizedSplit, plan: EpochPlan, groups: Sequence[Indices], *, epoch: int
) -> Batch:
    """The batch of an epoch with the most tokens, padding included; `groups` are its pair groups.

    With `sampling` it is the one with the most pieces in the store, in pieces drawn for the epoch.
    """
    counts = np.array([len(pairs) for pairs in groups])
    lengths = padded_lengths(split)[np.concatenate(groups)]
    longest = np.maximum.reduceat(lengths, np.cumsum(counts) - counts)
    number = int(np.argmax(counts * longest))
    pairs, position = groups[number], BatchPosition(epoch, number)
    if plan.sampling is None:
        return collate(split, pairs, position, plan.guide)
    sampled = plan.sampling.resample(split, pairs, epoch=epoch)
    return collate(sampled, np.arange(len(sampled)), position)


def _weighted_pairs(plan: EpochPlan, epoch: int) -> Indices:
    """The pairs of an epoch: of weight 2.3 each pair twice, and three tenths of them once more."""
    chosen = []
    for corpus in plan.corpora:
        every = np.arange(corpus.pairs.start, corpus.pairs.stop)
        times, rest = divmod(corpus.weight, 1)
        chosen += int(times) * [every]
        if rest:
            drawn = _generator(f"corpus {corpus.name}", plan.seed, epoch).permutation(every)
            chosen.append(drawn[: max(1, round(rest * len(every)))])
    return np.concatenate(chosen)


def _shuffled(
    groups: list[Indices],
    split: TokenizedSplit,
    generator: np.random.Generator,
    *,
    short_first: bool,
) -> list[Indices]:
    shuffled = [groups[number] for number in generator.permutation(len(groups))]
    if short_first:
        lengths = padded_lengths(split)
        shuffled.sort(key=lambda pairs: lengths[pairs].max())  # keeps the order of equals
    return shuffled


def _sampled_batches(
    split: TokenizedSplit,
    groups: list[Indices],
    plan: EpochPlan,
    sampling: SubwordSampling,
    *,
    start: BatchPosition,
) -> Iterator[Batch]:
    """The rest of an epoch, in pieces drawn for it.

    Pairs of equal length in the store differ once their pieces are drawn: batches of them would be
    a third padding. So the pieces of `POOL_BATCHES` groups are drawn together and their pairs
    grouped anew into as many batches: the stream can begin at any batch, and memory stays flat.
    """
    epoch, first = start
    for begin in range(first - first % POOL_BATCHES, len(groups), POOL_BATCHES):
        chosen = groups[begin : begin + POOL_BATCHES]
        pool = sampling.resample(split, np.concatenate(chosen), epoch=epoch)
        generator = _generator(f"pool {begin}", plan.seed, epoch)
        short_first = plan.short_first(epoch)
        regrouped = _regroup(pool, count=len(chosen))
        batches = _shuffled(regrouped, pool, generator, short_first=short_first)
        for number in range(max(first, begin), begin + len(batches)):
            yield collate(pool, batches[number - begin], BatchPosition(epoch, number))


def _regroup(pool: TokenizedSplit, *, count: int) -> list[Indices]:
    """All pairs in `count` groups, the largest with as few padded tokens as possible."""
    order = length_order(pool, np.arange(len(pool)))
    runs = split_into(padded_lengths(pool)[order], count=count)
    return [order[begin:end] for begin, end in runs]


def sorted_batches(
    split: TokenizedSplit, *, budget: int, pairs: Sequence[int] | None = None
) -> Iterator[Batch]:
    """Every pair, or each of some, once, shortest first: for validation."""
    chosen = np.arange(len(split)) if pairs is None else np.asarray(pairs)
    by_length = chosen[length_order(split, chosen)]
    runs = split_by_budget(padded_lengths(split)[by_length], budget=budget)
    for number, (begin, end) in enumerate(runs):
        yield collate(split, by_length[begin:end], BatchPosition(1, number))


def length_order(split: TokenizedSplit, pairs: Indices) -> Indices:
    """The argsort of `pairs` by which neighbours need little padding: by target, then by source.

    Source lengths go up where the target length is even and down where it is odd, so that a batch
    across two target lengths has sources of similar length.
    """
    target, source = split.target_lengths, split.source_lengths
    width = int(source.max(initial=0)) + 1
    fits = (int(target.max(initial=0)) + 1) * width <= 1 << 16
    dtype = np.dtype(np.uint16 if fits else np.int64)  # NumPy sorts 16 bits by radix
    rank = np.where(target % 2 == 0, source, width - 1 - source)
    key = target.astype(dtype) * dtype.type(width) + rank.astype(dtype)
    return np.argsort(key[pairs], kind="stable")


def padded_lengths(split: TokenizedSplit) -> Lengths:
    """Tokens of each pair's longer side, EOS included. [pairs]"""
    return np.maximum(split.source_lengths, split.target_lengths) + 1


def split_by_budget(lengths: Lengths, *, budget: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Runs [begin, end) of one pair or more, whose padded tokens stay within the budget.

    A pair that exceeds the budget by itself is a run of its own. A run longer than `multiple` pairs
    has a multiple of it, except the last run. The work grows with the runs and with the changes of
    length, which are few where lengths are sorted.
    """
    total, starts = len(lengths), np.flatnonzero(np.diff(lengths, prepend=0))
    values, begins = lengths[starts].tolist(), starts.tolist()  # of stretches of equal lengths
    ends = [*begins[1:], total]
    runs, begin, stretch, fits = [], 0, 0, 1  # pairs before `fits` are not tested again
    while begin < total:
        longest, overflow = 0, total  # overflow: the first pair that is too much
        while stretch < len(values):
            longest = max(longest, values[stretch])
            overflow = max(begin + budget // longest, begins[stretch], fits)
            if overflow < ends[stretch]:
                break
            stretch, overflow = stretch + 1, total
        count = overflow - begin
        whole = overflow == total or count <= multiple
        end = overflow if whole else overflow - count % multiple
        runs.append((begin, end))
        while stretch == len(values) or begins[stretch] > end:
            stretch -= 1
        begin, fits = end, max(overflow, end + 1)
    return runs


def split_into(lengths: Lengths, *, count: int) -> list[tuple[int, int]]:
    """Exactly `count` runs [begin, end), the largest with as few padded tokens as possible.

    They are those of the smallest budget that gives no more than `count`, the longest then halved
    until there are enough. There must be at least `count` pairs.
    """
    low, high = int(lengths.max()), int(lengths.max()) * len(lengths)
    while low < high:  # a greater budget never gives more runs
        budget = (low + high) // 2
        if len(split_by_budget(lengths, budget=budget)) <= count:
            high = budget
        else:
            low = budget + 1
    runs = split_by_budget(lengths, budget=low)
    while len(runs) < count:
        longest = max(range(len(runs)), key=lambda run: runs[run][1] - runs[run][0])
        begin, end = runs[longest]
        middle = (begin + end) // 2
        runs[longest : longest + 1] = [(begin, middle), (middle, end)]
    return runs


def collate(
    split: TokenizedSplit, pairs: Indices, position: BatchPosition, guide: LinkGuide | None = None
) -> Batch:
    """Pad the pairs into a batch."""
    sources, source_lengths = split.sentences(2 * pairs)
    targets, target_lengths = split.sentences(2 * pairs + 1)
    shape = int(target_lengths.max()) + 1, int(source_lengths.max()) + 1
    return Batch(
        Source(_padded(sources, source_lengths), torch.from_numpy(source_lengths + 1)),
        _padded(targets, target_lengths, begin=1),
        tuple(split.lines[pairs].tolist()),
        position,
        attention_targets=None if guide is None else guide.targets(pairs, position, shape),
    )


def _padded(ids: IntArray, lengths: Indices, *, begin: int = 0) -> Tensor:
    """Concatenated sentences of lengths [B] -> one a row, [B, W], EOS at its end.

    `begin` is the number of BOS in front, 0 or 1.
    """
    ends = lengths + begin  # the position of EOS
    rows = np.full((len(lengths), int(ends.max()) + 1), PAD, dtype=np.int64)
    rows[:, :begin] = BOS
    rows[np.arange(len(lengths)), ends] = EOS
    columns = np.arange(rows.shape[1])
    rows[(begin <= columns) & (columns < ends[:, None])] = ids
    return torch.from_numpy(rows)


def _generator(use: str, seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(stream_seed(use, seed, epoch, bits=128)))
