"""Token-budget batches, in an order that is a pure function of seed and epoch.

Nothing of the loader has to be saved to go on where a run stopped: seed, epoch and the number of
the next batch say it all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data.subword_sampling import SubwordSampling
from data.token_store import Indices, IntArray, StoredCorpus, TokenizedSplit
from seq2seq.batch import BOS, EOS, PAD, Batch, BatchPosition, Source

MULTIPLE = 8  # of pairs a batch holds: libraries prepare a product of each new shape anew
POOL = 128  # batches whose pairs are grouped anew by the lengths of sampled pieces
Curriculum = Literal["none", "length"]


def token_budget_batches(
    split: TokenizedSplit,
    *,
    budget: int,
    seed: int,
    start: BatchPosition,
    corpora: Sequence[StoredCorpus] = (),
    curriculum: Curriculum = "none",
    sampling: SubwordSampling | None = None,
) -> Iterator[Batch]:
    """Batches without end, epoch after epoch, from `start` on.

    Sentences of like length go together, so that there is little padding; a batch holds as many
    pairs as fit when each is padded to the longest side, EOS or BOS included. The budget counts
    the pieces of the store: with `sampling` there are more, and batches larger in proportion.
    """
    epoch, first = start
    while True:
        plan = epoch_plan(
            split, budget=budget, seed=seed, epoch=epoch, corpora=corpora, curriculum=curriculum
        )
        if sampling is None:
            for number in range(first, len(plan)):
                yield collate(split, plan[number], BatchPosition(epoch, number))
        else:
            yield from _sampled_batches(
                split,
                plan,
                sampling,
                seed=seed,
                start=BatchPosition(epoch, first),
                short_first=curriculum == "length" and epoch == 1,
            )
        epoch, first = epoch + 1, 0


def epoch_plan(
    split: TokenizedSplit,
    *,
    budget: int,
    seed: int,
    epoch: int,
    corpora: Sequence[StoredCorpus] = (),
    curriculum: Curriculum = "none",
) -> list[Indices]:
    """Which pairs go together, and in which order, in an epoch.

    Each pair comes exactly once, or as often as the weights of the corpora say. With curriculum
    "length" the batches of the first epoch go from short to long (Kocmi & Bojar, 2017); those of
    one length are shuffled.
    """
    generator = _generator("order", seed, epoch)
    pairs = _pairs_of(corpora, seed=seed, epoch=epoch) if corpora else np.arange(len(split))
    shuffled = generator.permutation(pairs)  # breaks ties of length anew each epoch
    by_length = shuffled[length_order(split, shuffled)]
    runs = cut(padded_lengths(split)[by_length], budget=budget, multiple=MULTIPLE)
    batches = [by_length[begin:end] for begin, end in runs]
    return _ordered(batches, split, generator, short_first=curriculum == "length" and epoch == 1)


def largest_batch(
    split: TokenizedSplit,
    *,
    budget: int,
    seed: int,
    epoch: int,
    corpora: Sequence[StoredCorpus] = (),
    curriculum: Curriculum = "none",
    sampling: SubwordSampling | None = None,
) -> Batch:
    """The batch of an epoch with the most tokens, padding included.

    With `sampling` it is the largest one of the store's pieces, in pieces drawn for the epoch.
    """
    plan = epoch_plan(
        split, budget=budget, seed=seed, epoch=epoch, corpora=corpora, curriculum=curriculum
    )
    lengths = padded_lengths(split)
    number = max(range(len(plan)), key=lambda each: lengths[plan[each]].max() * len(plan[each]))
    pairs, position = plan[number], BatchPosition(epoch, number)
    if sampling is None:
        return collate(split, pairs, position)
    drawn = sampling.redrawn(split, pairs, epoch=epoch)
    return collate(drawn, np.arange(len(drawn)), position)


def _pairs_of(corpora: Sequence[StoredCorpus], *, seed: int, epoch: int) -> Indices:
    """The pairs of an epoch: of weight 2.3 each pair twice, and three tenths of them once more."""
    taken = []
    for corpus in corpora:
        every = np.arange(corpus.pairs.start, corpus.pairs.stop)
        times, rest = divmod(corpus.weight, 1)
        taken += int(times) * [every]
        if rest:
            drawn = _generator(f"corpus {corpus.name}", seed, epoch).permutation(every)
            taken.append(drawn[: max(1, round(rest * len(every)))])
    return np.concatenate(taken)


def _ordered(
    batches: list[Indices],
    split: TokenizedSplit,
    generator: np.random.Generator,
    *,
    short_first: bool,
) -> list[Indices]:
    shuffled = [batches[number] for number in generator.permutation(len(batches))]
    if short_first:
        lengths = padded_lengths(split)
        shuffled.sort(key=lambda pairs: lengths[pairs].max())  # keeps the order of equals
    return shuffled


def _sampled_batches(
    split: TokenizedSplit,
    plan: list[Indices],
    sampling: SubwordSampling,
    *,
    seed: int,
    start: BatchPosition,
    short_first: bool,
) -> Iterator[Batch]:
    """The rest of an epoch in pieces drawn for it.

    Pairs of equal length in the store differ once they are drawn, and what was little padding is a
    third of a batch. So the pairs of every `POOL` batches of the plan are drawn together and
    grouped anew into as many batches: the stream can be begun at any batch, and memory stays flat.
    """
    epoch, first = start
    for begin in range(first - first % POOL, len(plan), POOL):
        chosen = plan[begin : begin + POOL]
        pool = sampling.redrawn(split, np.concatenate(chosen), epoch=epoch)
        generator = _generator(f"pool {begin}", seed, epoch)
        batches = _ordered(
            _regrouped(pool, count=len(chosen)), pool, generator, short_first=short_first
        )
        for number in range(max(first, begin), begin + len(batches)):
            yield collate(pool, batches[number - begin], BatchPosition(epoch, number))


def _regrouped(pool: TokenizedSplit, *, count: int) -> list[Indices]:
    """All pairs in `count` batches, with as few padded tokens in the fullest one as can be."""
    order = length_order(pool, np.arange(len(pool)))
    runs = split_into(padded_lengths(pool)[order], count=count)
    return [order[begin:end] for begin, end in runs]


def sorted_batches(split: TokenizedSplit, *, budget: int) -> Iterator[Batch]:
    """Every pair once, shortest first: for validation."""
    by_length = length_order(split, np.arange(len(split)))
    for number, (begin, end) in enumerate(cut(padded_lengths(split)[by_length], budget=budget)):
        yield collate(split, by_length[begin:end], BatchPosition(1, number))


def length_order(split: TokenizedSplit, pairs: Indices) -> Indices:
    """How to sort pairs so that neighbours need little padding: by target, then by source length.

    Sources go up for an even target length and down for an odd one: a batch that reaches over into
    the next target length finds sources there that are as long as those it has.
    """
    target, source = split.target_lengths[pairs], split.source_lengths[pairs]
    return np.lexsort((np.where(target % 2 == 0, source, -source), target))


def padded_lengths(split: TokenizedSplit) -> Indices:
    """[N] what a pair takes in a batch: its longer side with EOS"""
    return np.maximum(split.source_lengths, split.target_lengths) + 1


def cut(lengths: Indices, *, budget: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Runs [begin, end) of pairs whose padded tokens stay within the budget; at least one each.

    A run that could hold more than `multiple` pairs is cut to a multiple of it; the last run need
    not be.
    """
    runs, begin, longest = [], 0, 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > begin and longest * (index - begin + 1) > budget:
            count = index - begin
            end = index - count % multiple if count > multiple else index
            runs.append((begin, end))
            begin, longest = end, int(lengths[end : index + 1].max())
    if len(lengths):
        runs.append((begin, len(lengths)))
    return runs


def split_into(lengths: Indices, *, count: int) -> list[tuple[int, int]]:
    """As `cut`, with the least budget that gives no more than `count` runs; then exactly so many.

    There are at least `count` pairs.
    """
    least, enough = int(lengths.max()), int(lengths.max()) * len(lengths)
    while least < enough:  # a greater budget never gives more runs
        budget = (least + enough) // 2
        if len(cut(lengths, budget=budget)) <= count:
            enough = budget
        else:
            least = budget + 1
    runs = cut(lengths, budget=least)
    while len(runs) < count:
        widest = max(range(len(runs)), key=lambda run: runs[run][1] - runs[run][0])
        begin, end = runs[widest]
        middle = (begin + end) // 2
        runs[widest : widest + 1] = [(begin, middle), (middle, end)]
    return runs


def collate(split: TokenizedSplit, pairs: Indices, position: BatchPosition) -> Batch:
    """Pad the pairs into a batch."""
    sources, source_lengths = split.sentences(2 * pairs)
    targets, target_lengths = split.sentences(2 * pairs + 1)
    return Batch(
        Source(_padded(sources, source_lengths), torch.from_numpy(source_lengths + 1)),
        _padded(targets, target_lengths, begin=1),
        tuple(split.lines[pairs].tolist()),
        position,
    )


def _padded(ids: IntArray, lengths: Indices, *, begin: int = 0) -> Tensor:
    """Sentences end to end, of lengths [B] -> [B, W], each with EOS, and BOS in front if told.

    `begin` is how many BOS come first, 0 or 1.
    """
    ends = lengths + begin  # where EOS comes
    rows = np.full((len(lengths), int(ends.max()) + 1), PAD, dtype=np.int64)
    rows[:, :begin] = BOS
    rows[np.arange(len(lengths)), ends] = EOS
    columns = np.arange(rows.shape[1])
    rows[(begin <= columns) & (columns < ends[:, None])] = ids
    return torch.from_numpy(rows)


def _generator(use: str, seed: int, epoch: int) -> np.random.Generator:
    """A stream of chance named for its use: one more draw elsewhere does not shift it."""
    digest = hashlib.blake2b(f"{use}:{seed}:{epoch}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
