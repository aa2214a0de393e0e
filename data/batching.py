"""Token-budget batches, in an order that is a pure function of seed and epoch.

Nothing of the loader has to be saved to go on where a run stopped: seed, epoch and the number of
the next batch say it all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from data.token_store import TokenizedSplit
from seq2seq.batch import BOS, EOS, PAD, Batch, BatchPosition, pad_sources

Indices = npt.NDArray[np.int64]


def token_budget_batches(
    split: TokenizedSplit, *, budget: int, seed: int, start: BatchPosition
) -> Iterator[Batch]:
    """Batches without end, epoch after epoch, from `start` on.

    Sentences of like length go together, so that there is little padding; a batch holds as many
    pairs as fit when each is padded to the longest side, EOS or BOS included.
    """
    epoch, first = start
    while True:
        plan = epoch_plan(split, budget=budget, seed=seed, epoch=epoch)
        for number in range(first, len(plan)):
            yield assemble(split, plan[number], BatchPosition(epoch, number))
        epoch, first = epoch + 1, 0


def epoch_plan(split: TokenizedSplit, *, budget: int, seed: int, epoch: int) -> list[Indices]:
    """Which pairs go together, and in which order, in an epoch: each pair exactly once."""
    generator = _generator("order", seed, epoch)
    shuffled = generator.permutation(len(split))  # breaks ties of length anew each epoch
    target, source = split.target_lengths[shuffled], split.source_lengths[shuffled]
    by_length = shuffled[np.lexsort((source, target))]
    batches = cut(padded_lengths(split)[by_length], budget=budget)
    order = generator.permutation(len(batches))
    return [by_length[batches[i][0] : batches[i][1]] for i in order]


def sorted_batches(split: TokenizedSplit, *, budget: int) -> Iterator[Batch]:
    """Every pair once, shortest first: for validation."""
    by_length = np.lexsort((split.source_lengths, split.target_lengths))
    for number, (begin, end) in enumerate(cut(padded_lengths(split)[by_length], budget=budget)):
        yield assemble(split, by_length[begin:end], BatchPosition(1, number))


def padded_lengths(split: TokenizedSplit) -> Indices:
    """[N] what a pair takes in a batch: its longer side with EOS"""
    return np.maximum(split.source_lengths, split.target_lengths) + 1


def cut(lengths: Indices, *, budget: int) -> list[tuple[int, int]]:
    """Runs [begin, end) of pairs whose padded tokens stay within the budget; at least one each."""
    runs, begin, longest = [], 0, 0
    for index, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if index > begin and longest * (index - begin + 1) > budget:
            runs.append((begin, index))
            begin, longest = index, length
    if len(lengths):
        runs.append((begin, len(lengths)))
    return runs


def assemble(split: TokenizedSplit, pairs: Indices, position: BatchPosition) -> Batch:
    """Pad the pairs into a batch."""
    sources = [split.source(int(pair)) for pair in pairs]
    targets = [split.target(int(pair)) for pair in pairs]
    source_ids, lengths = pad_sources(sources)
    target_ids = torch.full((len(pairs), max(map(len, targets)) + 2), PAD)
    for row, ids in enumerate(targets):
        target_ids[row, 0] = BOS
        target_ids[row, 1 : len(ids) + 1] = torch.from_numpy(ids.astype(np.int64))
        target_ids[row, len(ids) + 1] = EOS
    lines = tuple(split.lines[pairs].tolist())
    return Batch(source_ids, lengths, target_ids, lines, position)


def _generator(use: str, seed: int, epoch: int) -> np.random.Generator:
    """A stream of chance named for its use: one more draw elsewhere does not shift it."""
    digest = hashlib.blake2b(f"{use}:{seed}:{epoch}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
