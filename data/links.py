"""Links of a token store: which source words each target word of a training pair comes from, and
the attention over pieces that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from data.token_store import TokenizedSplit, TokenStore, memory_map
from seq2seq.batch import AttentionTargets, BatchPosition
from seq2seq.errors import ConfigError

WORDS, LINKS, OFFSETS = "train.words", "train.links", "train.link_offsets"
_DTYPES: dict[str, np.dtype[Any]] = {
    WORDS: np.dtype("<i4"),
    LINKS: np.dtype("<i4"),
    OFFSETS: np.dtype("<i8"),
}
NO_WORD = -1
"""The word number of a tag, which no word is spelt by."""

Unlinked = Literal["ignore", "eos"]
FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredLinks:
    """The links of n training pairs, read from disk when they are used."""

    words: npt.NDArray[np.int32]  # of each id of the split, the number of its word in its sentence
    links: npt.NDArray[np.int32]  # [m, 2] source word and target word
    offsets: npt.NDArray[np.int64]  # [n+1] where the links of each pair begin

    @classmethod
    def open(cls, store: TokenStore) -> StoredLinks:
        """Raises ConfigError for a store without links, CorpusError for damaged files."""
        if store.links is None:
            raise ConfigError(
                f"training.guided_alignment needs links of words, and {store.path} has none",
                hint="give them where the store is made: preprocess ... --alignments FILE",
            )
        train = store.split("train")
        counts = {WORDS: len(train.ids), LINKS: 2 * store.links["links"], OFFSETS: len(train) + 1}
        words, links, offsets = (
            memory_map(store.path / name, _DTYPES[name], count) for name, count in counts.items()
        )
        return cls(words, links.reshape(-1, 2), offsets)

    def of(self, pair: int) -> npt.NDArray[np.int32]:
        """The links of a pair. [l, 2]"""
        return self.links[self.offsets[pair] : self.offsets[pair + 1]]


def write_arrays(folder: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write files of `StoredLinks` by their names."""
    for name, array in arrays.items():
        (folder / name).write_bytes(stored(name, array))


def stored(name: str, array: npt.ArrayLike) -> bytes:
    """Numbers as they stand in a file of `StoredLinks`."""
    return np.asarray(array, _DTYPES[name]).tobytes()


class LinkMatrices(Protocol):
    """How much of its attention each target piece of a training pair should give to each source
    piece."""

    def matrix(self, pair: int) -> FloatMatrix:
        """[target pieces + 1, source pieces + 1], with the ends; no row sums to more than 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class WordLinks:
    """The attention that links of words ask for.

    A linked target piece attends equally to the source words that its word is linked to, and of
    each word equally to its pieces. With `unlinked` "eos" a piece of a word without a link, and the
    end of the sentence, attend to the source's end; with "ignore" nothing is asked of them. Of a
    pair without any link nothing is asked.
    """

    split: TokenizedSplit
    links: StoredLinks
    unlinked: Unlinked = "ignore"

    def matrix(self, pair: int) -> FloatMatrix:
        begin, middle, end = self.split.offsets[2 * pair : 2 * pair + 3]
        source, target = self.links.words[begin:middle], self.links.words[middle:end]
        matrix = np.zeros((len(target) + 1, len(source) + 1), np.float32)
        links = self.links.of(pair)
        if not len(links):
            return matrix
        linked = np.zeros((1 + target.max(), 1 + source.max()), np.float32)  # words
        pieces = np.bincount(source[source != NO_WORD], minlength=linked.shape[1])
        spelt = (links < [linked.shape[1], linked.shape[0]]).all(axis=1)  # words that have pieces
        linked[links[spelt, 1], links[spelt, 0]] = 1
        shares = linked * (pieces > 0) / np.maximum(pieces, 1)  # of each piece of a source word
        matrix[:-1, :-1] = shares[target][:, source] * (source != NO_WORD)
        sums = matrix.sum(axis=1, keepdims=True)
        if self.unlinked == "eos":
            matrix[:, -1] += sums[:, 0] == 0
            sums = matrix.sum(axis=1, keepdims=True)
        return np.asarray(matrix / np.where(sums > 0, sums, 1), np.float32)


@dataclass(frozen=True, kw_only=True)
class LinkGuide:
    """The attention that links ask for, for batches of a split.

    What the links say of a target piece is asked of the step that writes it, or, with `shift` 1, of
    the step after, whose input the piece is; then nothing is asked of the first. In epoch e every
    loss has the weight decay^(e-1).
    """

    links: LinkMatrices
    decay: float = 1.0
    shift: int = 0

    def targets(
        self, pairs: npt.NDArray[np.int64], position: BatchPosition, shape: tuple[int, int]
    ) -> AttentionTargets:
        """The targets of attention for a batch of pairs.

        shape: T target and S source positions, EOS included
        """
        import torch

        weights = np.zeros((len(pairs), *shape), np.float32)
        for row, pair in zip(weights, pairs.tolist(), strict=True):
            found = self.links.matrix(pair)
            row[self.shift : len(found), : found.shape[1]] = found[: len(found) - self.shift]
        sums = weights.sum(axis=2)  # how sure the links are
        weights /= np.where(sums > 0, sums, 1)[..., None]
        factor = self.decay ** (position.epoch - 1)
        return AttentionTargets(
            torch.from_numpy(weights), torch.from_numpy(sums * np.float32(factor))
        )
