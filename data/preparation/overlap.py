"""Pairs of the validation set that are training pairs, too."""

from collections import defaultdict
from collections.abc import Iterable

from data.corpora import CorpusFiles


def overlapping_lines(valid: CorpusFiles, training: Iterable[tuple[bytes, bytes]]) -> set[int]:
    """The lines of the validation set, from 0, both sides of which are a pair of `training`.

    Pairs with a blank side are left out.
    """
    held_out = defaultdict[tuple[bytes, bytes], list[int]](list)
    for line, pair in enumerate(valid.raw_pairs()):
        if all(side.strip() for side in pair):
            held_out[pair].append(line)
    return {line for pair in training if pair in held_out for line in held_out[pair]}
