"""How a model's training sources are cut into pieces, and how unlike them other sources are.

A character without a piece is written as bytes. Nothing was learnt of a piece that never occurred
in a training source, and little of bytes. A model encodes text badly that is cut far more finely
than that of its training, such as capitals, or that is far longer. Counts of pieces tell all this.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from data.store_description import StrictModel
from data.token_store import TokenStore
from data.tokenization import WORD_START, PieceIds, Tokenizer
from seq2seq.batch import UNK
from seq2seq.system.figures import counted, percent, plural

_BLOCK = 1 << 16  # sources counted at a time
# In seven held-out texts 0 to 3.2 % of the pieces were unknown, and words were cut 0.8 to 1.1 times
# as finely as in training. In another language 30 % or more were unknown; capitals were cut 2.6 to
# 4.1 times as finely, in scripts that have them.
MANY_UNKNOWN = 0.05  # of all pieces, and at least
TIMES_UNKNOWN = 3.0  # the share of bytes in training
MUCH_FINER = 2.0  # times the pieces a character in training
FEWEST_CHARACTERS = 20  # with fewer, pieces a character say little
FAR_LONGER = 1.5  # times the longest training source
_SHOWN = 40  # characters of an example


class PieceCounts(NamedTuple):
    """Counts of one or more sources."""

    pieces: int = 0
    unknown: int = 0  # bytes, and pieces that no training source has
    plain: int = 0  # pieces that are no bytes
    characters: int = 0  # of those, without spaces

    def plus(self, other: "PieceCounts") -> "PieceCounts":
        return PieceCounts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def unknown_share(self) -> float:
        return self.unknown / max(self.pieces, 1)

    @property
    def pieces_per_character(self) -> float:
        """Pieces that are not bytes, per character of their text."""
        return self.plain / max(self.characters, 1)


class SourceStatistics(StrictModel):
    """The pieces of all training sources, as provenance.json has them."""

    pieces: int = Field(ge=0)
    byte_pieces: int = Field(ge=0)
    characters: int = Field(ge=0)
    """Of the pieces that are no bytes, without spaces."""
    longest: int = Field(ge=0)
    """Pieces of the longest source."""
    used: str | None
    """A bit for each piece, whether a source has it, in base64; None where any piece may occur."""

    @field_validator("used")
    @classmethod
    def _is_base64(cls, used: str | None) -> str | None:
        """Raises ValueError for anything else."""
        if used is not None:
            base64.b64decode(used, validate=True)
        return used

    @classmethod
    def of(cls, store: TokenStore, *, sampled: bool = False) -> "SourceStatistics":
        """sampled: whether training cuts the sources otherwise in each epoch"""
        split, tokenizer = store.split("train"), store.tokenizer("source")
        counts = np.zeros(len(tokenizer), np.int64)
        for first in range(0, len(split), _BLOCK):
            ids, _ = split.sentences(2 * np.arange(first, min(first + _BLOCK, len(split))))
            counts += np.bincount(ids, minlength=len(tokenizer))
        table = PieceTable(tokenizer)
        return cls(
            pieces=int(counts.sum()),
            byte_pieces=int(counts[table.is_byte].sum()),
            characters=int((counts * table.characters).sum()),
            longest=int(split.source_lengths.max(initial=0)),
            used=None if sampled else _packed(counts > 0),
        )

    def joined(self, other: "SourceStatistics") -> "SourceStatistics":
        """The statistics of a model that was trained on both, with pieces of one vocabulary."""
        used = None
        if self.used is not None and other.used is not None:
            packed = (self.used, other.used)
            left, right = (np.frombuffer(base64.b64decode(each), np.uint8) for each in packed)
            used = base64.b64encode((left | right).tobytes()).decode()
        return SourceStatistics(
            pieces=self.pieces + other.pieces,
            byte_pieces=self.byte_pieces + other.byte_pieces,
            characters=self.characters + other.characters,
            longest=max(self.longest, other.longest),
            used=used,
        )

    @cached_property
    def used_ids(self) -> frozenset[int] | None:
        """The pieces that occur; None where any may."""
        if self.used is None:
            return None
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.used), np.uint8))
        return frozenset(np.flatnonzero(bits).tolist())

    @property
    def byte_share(self) -> float:
        return self.byte_pieces / max(self.pieces, 1)

    @property
    def pieces_per_character(self) -> float:
        """Pieces that are not bytes, per character of their text."""
        return (self.pieces - self.byte_pieces) / max(self.characters, 1)


def _packed(used: npt.NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(used).tobytes()).decode()


class PieceTable:
    """The kind of each piece of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.is_byte = np.zeros(len(tokenizer), bool)  # [V] also the symbol of unknown text
        self.is_byte[[UNK, *tokenizer.byte_ids]] = True
        self.characters = np.zeros(len(tokenizer), np.int64)  # [V] without spaces; 0 for bytes
        for piece, number in tokenizer.vocabulary().ids.items():
            self.characters[number] = len(piece.replace(WORD_START, ""))


class SourceComparison:
    """Compares sources with those that a model was trained on."""

    def __init__(self, tokenizer: Tokenizer, training: SourceStatistics | None) -> None:
        """training: None where nothing is known of it, as in runs of earlier versions"""
        self.training = training
        self._tokenizer = tokenizer
        table = PieceTable(tokenizer)
        self._is_byte, self._characters = table.is_byte, table.characters
        self._is_unknown = table.is_byte.copy()
        if training is not None and training.used_ids is not None:
            ids = np.arange(len(tokenizer))
            self._is_unknown |= ~np.isin(ids, [*training.used_ids]) & (table.characters > 0)

    def count(self, ids: Sequence[int]) -> PieceCounts:
        """The pieces of one source."""
        at: PieceIds = np.asarray(ids, np.int32)
        return PieceCounts(
            pieces=len(ids),
            unknown=int(self._is_unknown[at].sum()),
            plain=int((~self._is_byte[at]).sum()),
            characters=int(self._characters[at].sum()),
        )

    def unknown_text(self, ids: Sequence[int]) -> str:
        """The first text of a source that is unknown, or an empty string."""
        found: list[int] = []
        for number in ids:
            if self._is_unknown[number]:
                found.append(number)
            elif found:
                break
        return _shorten(self._tokenizer.decode(found)) if found else ""

    @property
    def most_unknown(self) -> float:
        """The share of unknown pieces up to which text is not unlike that of the training."""
        if self.training is None:
            return MANY_UNKNOWN
        return max(MANY_UNKNOWN, TIMES_UNKNOWN * self.training.byte_share)

    def is_finer(self, counts: PieceCounts) -> bool:
        """Whether words are cut into far more pieces than in training."""
        if self.training is None or counts.characters < FEWEST_CHARACTERS:
            return False
        if 2 * counts.plain <= counts.pieces:
            return False  # most are bytes, which are unknown as it is
        return counts.pieces_per_character > MUCH_FINER * self.training.pieces_per_character

    def is_far_longer(self, counts: PieceCounts) -> bool:
        """Whether a source is longer than any in training, for another reason than its spelling."""
        if self.training is None or 2 * counts.unknown > counts.pieces or self.is_finer(counts):
            return False
        return counts.pieces > FAR_LONGER * self.training.longest


@dataclass
class SourceSummary:
    """The comparison of all sources of one text, added up line by line."""

    comparison: SourceComparison
    lines: int = 0
    counts: PieceCounts = field(default_factory=PieceCounts)
    far_longer: int = 0
    _unknown: tuple[int, str] | None = None  # the first example: line, text
    _finer: tuple[int, str] | None = None
    _first: tuple[int, str] | None = None  # the first line that is not blank
    _longer: tuple[int, int] | None = None  # line, pieces

    def add(self, text: str, ids: Sequence[int]) -> None:
        """Count the next line."""
        self.lines += 1
        counts = self.comparison.count(ids)
        self.counts = self.counts.plus(counts)
        if ids and self._first is None:
            self._first = self.lines, _shorten(text)
        if counts.unknown and self._unknown is None:
            self._unknown = self.lines, self.comparison.unknown_text(ids)
        if self._finer is None and self.comparison.is_finer(counts):
            self._finer = self.lines, _shorten(text)
        if self.comparison.is_far_longer(counts):
            self.far_longer += 1
            self._longer = self._longer or (self.lines, len(ids))

    def findings(self, *, single: bool = False) -> list[str]:
        """Whatever is out of the ordinary, one sentence each.

        single: whether the text is one sentence, of which a single unknown piece is worth saying
        """
        found = []
        allowed = 0.0 if single else self.comparison.most_unknown
        training = self.comparison.training
        if self._unknown and self.counts.unknown_share > allowed:
            line, text = self._unknown
            usual = f"; in training {percent(training.byte_share)}" if training else ""
            found.append(
                f"{self.counts.unknown:,} of {self.counts.pieces:,} source pieces "
                f"({percent(self.counts.unknown_share)}{usual}) are unknown to the model, such as "
                f"“{text}”{_in_line(line, single)}: it cannot translate them"
            )
        example = self._finer or self._first
        if training and example and self.comparison.is_finer(self.counts):
            times = self.counts.pieces_per_character / training.pieces_per_character
            line, text = example
            found.append(
                f"the words are cut into {times:.1f} times as many pieces as in training, such as "
                f"“{text}”{_in_line(line, single)}: they are foreign to the model, or in capitals "
                "unlike those of its training"
            )
        if training and self._longer:
            line, pieces = self._longer
            found.append(
                f"{counted(self.far_longer, 'source')} of {self.lines:,} "
                f"{plural(self.far_longer, 'is', 'are')} far longer than any in training "
                f"({training.longest:,} pieces), such as one of {pieces:,} pieces"
                f"{_in_line(line, single)}: give one sentence a line"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """The figures, beside those of the training; None where those are not known."""
        training = self.comparison.training
        return {
            "pieces": self.counts.pieces,
            "unknown_pieces": self.counts.unknown,
            "unknown_share": self.counts.unknown_share,
            "pieces_per_character": self.counts.pieces_per_character,
            "far_longer_than_training": self.far_longer if training else None,
            "training": None
            if training is None
            else {
                "byte_share": training.byte_share,
                "pieces_per_character": training.pieces_per_character,
                "longest": training.longest,
            },
        }


def _in_line(line: int, single: bool) -> str:
    return "" if single else f" in line {line:,}"


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
