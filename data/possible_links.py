"""Which source piece each target piece could come from, and how likely by IBM model 1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.token_store import IntArray, TokenizedSplit

Floats = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PossibleLinks:
    """Every link of a target to a source piece that n pairs may have: [J, I] of each pair, for J
    target and I source pieces, one pair after the other; L in all."""

    source_lengths: Numbers  # [n]
    target_lengths: Numbers  # [n]
    source_ids: IntArray  # of all pairs
    target_ids: IntArray
    begins: Numbers  # [n] of each pair's links
    source_tokens: Numbers  # [L] which of `source_ids` each link has
    target_tokens: Numbers  # [L]

    @classmethod
    def of(cls, split: TokenizedSplit, pairs: Numbers) -> "PossibleLinks":
        source_ids, source_lengths = split.sentences(2 * pairs)
        target_ids, target_lengths = split.sentences(2 * pairs + 1)
        sizes = source_lengths * target_lengths
        begins = np.cumsum(sizes) - sizes
        cell = np.arange(sizes.sum()) - np.repeat(begins, sizes)  # of its pair
        row, column = np.divmod(cell, np.repeat(source_lengths, sizes))
        source_tokens = np.repeat(np.cumsum(source_lengths) - source_lengths, sizes) + column
        target_tokens = np.repeat(np.cumsum(target_lengths) - target_lengths, sizes) + row
        return cls(
            source_lengths, target_lengths, source_ids, target_ids, begins,
            source_tokens, target_tokens,
        )  # fmt: skip

    def keys(self, target_vocabulary: int) -> Numbers:
        """A number for the two ids of each link. [L]"""
        source_ids = self.source_ids[self.source_tokens].astype(np.int64)
        return source_ids * target_vocabulary + self.target_ids[self.target_tokens]


def evenly_chosen(sizes: IntArray, *, most: int) -> Numbers:
    """All pairs or, where their sizes sum to more than `most`, every second, third, ... of them."""
    step = max(1, -(-int(sizes.sum()) // most))
    return np.arange(0, len(sizes), step)


def ibm_model_1(
    probabilities: Floats, entries: Numbers, tokens: Numbers, given: Numbers, *, iterations: int
) -> Floats:
    """p(written id | given id), Brown et al. (1993), section 4.1, by expectation maximisation.

    probabilities: of each of K pairs of ids, to begin with [K]
    entries, tokens: of each link its pair of ids, and the written token [L]
    given: the given id of each pair of ids [K]
    """
    for _ in range(iterations):
        shares = probabilities[entries]
        shares /= np.bincount(tokens, weights=shares)[tokens]
        counts = np.bincount(entries, weights=shares, minlength=len(given))
        probabilities = counts / np.bincount(given, weights=counts)[given]
    return probabilities
