"""Links of the pieces of a store's training pairs, as probable as they were learnt to be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.hmm_alignment import learn_alignment
from data.learnt_arrays import load_arrays, save_arrays
from data.links import FloatMatrix
from data.token_store import TokenizedSplit

_KIND = "piece_links"
_LEAST = 0.1  # of the probability of a link that is kept
_LINKS = 2**22  # possible links of the pairs that are computed together


@dataclass(frozen=True)
class PieceLinks:
    """Links that n training pairs may have."""

    ends: npt.NDArray[np.int64]  # [n] where the links of each pair end
    sizes: npt.NDArray[np.int32]  # [n, 2] target and source pieces
    pieces: npt.NDArray[np.int32]  # [m, 2] target and source position of each link
    probabilities: npt.NDArray[np.float32]  # [m]

    @classmethod
    def learn(
        cls,
        split: TokenizedSplit,
        *,
        source_vocabulary: int,
        target_vocabulary: int,
        tags: Collection[int] = (),
    ) -> PieceLinks:
        """By `learn_alignment`, from the pairs themselves.

        tags: source ids that no target piece is linked to
        """
        model = learn_alignment(
            split, source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary
        )
        sizes = np.stack([split.target_lengths, split.source_lengths], axis=1)
        totals = np.cumsum(sizes.astype(np.int64).prod(axis=1))
        chunks = np.split(
            np.arange(len(split)),
            np.searchsorted(totals, np.arange(_LINKS, totals[-1], _LINKS)),
        )
        counts, pieces, probabilities = [], [], []
        for pairs in chunks:
            possible, each = model.posteriors(split, pairs)
            is_tag = np.isin(possible.source_ids, list(tags))[possible.source_tokens]
            kept = np.flatnonzero((each >= _LEAST) & ~is_tag)
            pair = np.searchsorted(possible.begins, kept, side="right") - 1
            positions = np.divmod(kept - possible.begins[pair], possible.source_lengths[pair])
            pieces.append(np.stack(positions, axis=1).astype(np.int32))
            counts.append(np.bincount(pair, minlength=len(pairs)))
            probabilities.append(each[kept])
        return cls(
            np.cumsum(np.concatenate(counts)),
            sizes,
            np.concatenate(pieces),
            np.concatenate(probabilities).astype(np.float32, copy=False),
        )

    def matrix(self, pair: int) -> FloatMatrix:
        """[target pieces + 1, source pieces + 1], with the ends, of which there is no link."""
        begin, end = (self.ends[pair - 1] if pair else 0), self.ends[pair]
        matrix = np.zeros(self.sizes[pair] + 1, np.float32)
        target, source = self.pieces[begin:end].T
        matrix[target, source] = self.probabilities[begin:end]
        return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), np.float32)

    def write(self, path: Path, *, store_sha256: str) -> None:
        """Write the file that `read` reads, atomically."""
        save_arrays(path, _KIND, vars(self), store_sha256=store_sha256)

    @classmethod
    def read(cls, path: Path, *, store_sha256: str) -> PieceLinks:
        """Raises CheckpointError for a file that is damaged or of another version or store."""
        names = [field.name for field in fields(cls)]
        return cls(**load_arrays(path, _KIND, names, store_sha256=store_sha256))
