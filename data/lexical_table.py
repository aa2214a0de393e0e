"""How likely target pieces translate each source piece: learnt from pairs, kept in a file."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.learnt_arrays import load_arrays, save_arrays
from data.possible_links import Numbers, PossibleLinks, evenly_chosen, ibm_model_1
from data.token_store import TokenizedSplit

MOST = 100  # translations of a source piece that are kept
_KIND = "lexical_table"
_FREQUENT = 200  # target pieces that any translation may have
_ITERATIONS = 5
_BLOCK = 2**16  # pairs whose targets are counted at a time
_MAX_LINKS = 2**23  # pairs of pieces that are counted; of more, as many sentence pairs are left out

Ids = npt.NDArray[np.int32]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LexicalTable:
    """Translations of pieces."""

    likely: Ids  # [V_s, MOST] of each source piece, likeliest first; -1: there are no more
    probabilities: Probabilities  # [V_s, MOST] of each of them, 0 where there are no more
    frequent: Ids  # [F] the most frequent target pieces, ascending

    def write(self, path: Path, *, store_sha256: str) -> None:
        """Write the file that `read` reads, atomically."""
        save_arrays(path, _KIND, vars(self), store_sha256=store_sha256)

    @classmethod
    def read(cls, path: Path, *, store_sha256: str) -> "LexicalTable":
        """Raises CheckpointError for a file that is damaged or of another version or store."""
        names = [field.name for field in fields(cls)]
        return cls(**load_arrays(path, _KIND, names, store_sha256=store_sha256))


def learn_table(
    split: TokenizedSplit, *, source_vocabulary: int, target_vocabulary: int
) -> LexicalTable:
    """IBM model 1 on pieces, with a null source piece."""
    sources, targets, occurrences = _links(split, null=source_vocabulary)
    keys, link = np.unique(sources * target_vocabulary + targets, return_inverse=True)
    source, target = np.divmod(keys, target_vocabulary)
    probabilities = ibm_model_1(
        np.ones(len(keys)), link, occurrences, source, iterations=_ITERATIONS
    )
    order = np.lexsort((target, -probabilities, source))
    source, target, sorted_probabilities = source[order], target[order], probabilities[order]
    rank = np.arange(len(order)) - np.searchsorted(source, source)  # among those of its source
    kept = (rank < MOST) & (source < source_vocabulary)
    positions = source[kept], rank[kept]
    likely = np.full((source_vocabulary, MOST), -1, dtype=np.int32)
    likely[positions] = target[kept]
    their_probabilities = np.zeros((source_vocabulary, MOST), dtype=np.float32)
    their_probabilities[positions] = sorted_probabilities[kept]
    return LexicalTable(likely, their_probabilities, _most_frequent(split, target_vocabulary))


def _links(split: TokenizedSplit, *, null: int) -> tuple[Numbers, Numbers, Numbers]:
    """The source piece, the target piece, and the number of its occurrence, for every pair of
    pieces that stand in one sentence pair; each target piece is also beside the piece `null`."""
    sizes = (split.source_lengths + 1) * split.target_lengths
    possible = PossibleLinks.of(split, evenly_chosen(sizes, most=_MAX_LINKS))
    target_ids = possible.target_ids.astype(np.int64)
    sources = possible.source_ids[possible.source_tokens].astype(np.int64)
    occurrences = np.arange(len(target_ids))
    return (
        np.append(sources, np.full(len(target_ids), null)),
        np.append(target_ids[possible.target_tokens], target_ids),
        np.append(possible.target_tokens, occurrences),
    )


def _most_frequent(split: TokenizedSplit, vocabulary: int) -> Ids:
    counts = np.zeros(vocabulary, dtype=np.int64)
    for begin in range(0, len(split), _BLOCK):
        pairs = np.arange(begin, min(begin + _BLOCK, len(split)))
        ids, _ = split.sentences(2 * pairs + 1)
        counts += np.bincount(ids, minlength=vocabulary)
    chosen = np.argsort(-counts, kind="stable")[:_FREQUENT]
    return np.sort(chosen[counts[chosen] > 0]).astype(np.int32)
