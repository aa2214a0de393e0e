"""Which target pieces translate each source piece: learnt from training pairs, kept in a file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.token_store import TokenizedSplit
from data.tokenization import Tokenizer
from seq2seq.errors import CheckpointError
from seq2seq.system.files import replacing

FORMAT_VERSION = 1
MOST = 100  # translations of a source piece that are kept
_FREQUENT = 200  # target pieces that any translation may have
_ITERATIONS = 5
_MAX_LINKS = 2**23  # pairs of pieces that are counted; of more, as many sentence pairs are left out

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LexicalTable:
    """Translations of pieces."""

    likely: Ids  # [V_s, MOST] of each source piece, likeliest first; -1: there are no more
    frequent: Ids  # [F] the most frequent target pieces, ascending

    def write(self, path: Path, *, store_sha256: str) -> None:
        """Write the file that `read` reads, atomically."""
        from safetensors.numpy import save

        about = {
            "format_version": FORMAT_VERSION,
            "store_sha256": store_sha256,
            "sha256": self._sha256,
        }
        tensors = {"likely": self.likely, "frequent": self.frequent}
        with replacing(path) as partial:
            partial.write_bytes(save(tensors, {"shortlist": json.dumps(about)}))

    @classmethod
    def read(cls, path: Path, *, store_sha256: str) -> "LexicalTable":
        """Raises CheckpointError for a file that is damaged or of another version or store."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                about: dict[str, Any] = json.loads(file.metadata()["shortlist"])
                table = cls(file.get_tensor("likely"), file.get_tensor("frequent"))
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise _unusable(path, "is damaged") from error
        if about.get("format_version") != FORMAT_VERSION:
            raise _unusable(path, f"has format version {about.get('format_version')}")
        if about.get("sha256") != table._sha256:
            raise _unusable(path, "is damaged")
        if about.get("store_sha256") != store_sha256:
            raise _unusable(path, "was learnt from another token store")
        return table

    @property
    def _sha256(self) -> str:
        return hashlib.sha256(self.likely.tobytes() + self.frequent.tobytes()).hexdigest()


def _unusable(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(f"{path} {problem}", hint="delete it: it is then learnt again")


def same_pieces(source: Tokenizer, target: Tokenizer) -> Ids:
    """The target id of the piece or byte that each source id stands for, -1 if none does. [V_s]"""
    found = np.full(len(source), -1, dtype=np.int32)
    theirs = target.vocabulary().ids
    for piece, number in source.vocabulary().ids.items():
        found[number] = theirs.get(piece, -1)
    found[source.byte_ids] = target.byte_ids
    return found


def learn_table(split: TokenizedSplit, copies: Ids, *, target_vocabulary: int) -> LexicalTable:
    """IBM model 1 (Brown et al., 1993, section 4.2) on pieces, with a null source piece.

    The first translation of a piece is the one in `copies` [V_s], if there is one, so that what is
    copied, as names and numbers are, can always be written.
    """
    source_vocabulary = len(copies)
    sources, targets, occurrences = _links(split, null=source_vocabulary)
    keys, link = np.unique(sources * target_vocabulary + targets, return_inverse=True)
    source, target = np.divmod(keys, target_vocabulary)
    probabilities = np.full(len(keys), 1.0)  # of the target, given the source
    for _ in range(_ITERATIONS):
        shares = probabilities[link]
        shares /= np.bincount(occurrences, weights=shares)[occurrences]
        counts = np.bincount(link, weights=shares, minlength=len(keys))
        probabilities = counts / np.bincount(source, weights=counts)[source]
    order = np.lexsort((target, -probabilities, source))
    source, target = source[order], target[order]
    rank = np.arange(len(order)) - np.searchsorted(source, source)  # among those of its source
    kept = (rank < MOST - 1) & (source < source_vocabulary)
    likely = np.full((source_vocabulary, MOST), -1, dtype=np.int32)
    likely[:, 0] = copies
    likely[source[kept], rank[kept] + 1] = target[kept]
    return LexicalTable(likely, _most_frequent(split, target_vocabulary))


def _links(split: TokenizedSplit, *, null: int) -> tuple[Numbers, Numbers, Numbers]:
    """The source piece, the target piece, and the number of its occurrence, for every pair of
    pieces that stand in one sentence pair; each target piece is also beside the piece `null`."""
    sizes = (split.source_lengths + 1) * split.target_lengths
    step = max(1, -(-int(sizes.sum()) // _MAX_LINKS))
    pairs = np.arange(0, len(split), step)
    target_ids, target_lengths = split.sentences(2 * pairs + 1)
    source_ids, source_lengths = split.sentences(2 * pairs)
    ends = np.cumsum(source_lengths + 1)  # of each source, with the null piece at its end
    joined = np.insert(source_ids.astype(np.int64), np.cumsum(source_lengths), null)
    widths = np.repeat(source_lengths + 1, target_lengths)  # of the links of each occurrence
    begins = np.repeat(ends - source_lengths - 1, target_lengths)
    occurrences = np.repeat(np.arange(len(target_ids)), widths)
    offsets = np.arange(len(occurrences)) - np.repeat(np.cumsum(widths) - widths, widths)
    sources = joined[begins[occurrences] + offsets]
    return sources, target_ids.astype(np.int64)[occurrences], occurrences


def _most_frequent(split: TokenizedSplit, vocabulary: int) -> Ids:
    ids, _ = split.sentences(2 * np.arange(len(split)) + 1)
    counts = np.bincount(ids, minlength=vocabulary)
    chosen = np.argsort(-counts, kind="stable")[:_FREQUENT]
    return np.sort(chosen[counts[chosen] > 0]).astype(np.int32)
