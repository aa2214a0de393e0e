"""Alignments as values: pieces merged to words, links, statistics, error rate against gold."""

import re
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import CorpusError

FloatArray: TypeAlias = NDArray[np.float64]
Link: TypeAlias = tuple[int, int]  # source word, target word, both from 0

END_OF_SENTENCE = "</s>"
END_MARK = "⏎"
"""How the end of the sentence is shown; it often draws attention, and hiding it would lie."""

_WORD_START = "▁"  # U+2581, SentencePiece's stand-in for a space


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Attention weights read as "this target token looked at that source token"."""

    source: tuple[str, ...]
    """S labels: pieces or words, the end-of-sentence symbol last."""
    target: tuple[str, ...]
    """T labels; the end-of-sentence symbol last, unless the sentence was cut."""
    weights: FloatArray
    """[T, S]; every row sums to 1."""

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.target), len(self.source)):
            raise ValueError(
                f"weights {self.weights.shape} do not fit {len(self.target)} target "
                f"and {len(self.source)} source labels"
            )


@dataclass(frozen=True, slots=True)
class AlignmentQuality:
    """All three from 0 to 1; a lower error rate is better."""

    aer: float
    precision: float
    recall: float


def merge_pieces(alignment: Alignment) -> Alignment:
    """Read SentencePiece pieces as words: weights summed over source pieces, averaged over target.

    So rows still sum to 1. Scripts written without spaces (Chinese, Japanese, Thai, ...) keep
    their pieces, byte-fallback pieces become characters, and the end of the sentence stays apart.
    """
    source, target = _words(alignment.source), _words(alignment.target)
    weights = np.zeros((len(target), len(source)))
    if target and source:
        columns = np.add.reduceat(  # [T, words of the source]
            np.asarray(alignment.weights, np.float64), [word.start for word in source], axis=1
        )
        sums = np.add.reduceat(columns, [word.start for word in target], axis=0)
        pieces = np.diff([word.start for word in target] + [len(alignment.target)])
        weights = sums / pieces[:, np.newaxis]
    return Alignment(
        tuple(word.text for word in source), tuple(word.text for word in target), weights
    )


def word_links(alignment: Alignment, *, threshold: float | None = None) -> set[Link]:
    """Every target word with the source word it looked at most, as (source, target) from 0.

    With a threshold: with every source word of at least that weight, be it none or several.
    Nothing is linked to the end of the sentence, and the end of the sentence to nothing.
    """
    n_source, n_target = _without_end(alignment.source), _without_end(alignment.target)
    weights = alignment.weights
    if threshold is not None:
        rows, columns = np.nonzero(weights[:n_target, :n_source] >= threshold)
        return {(int(i), int(j)) for i, j in zip(columns, rows, strict=True)}
    if not n_source:
        return set()
    best = [int(weights[j].argmax()) for j in range(n_target)]
    return {(i, j) for j, i in enumerate(best) if i < n_source}


def pharaoh(alignment: Alignment, *, threshold: float | None = None) -> str:
    """The links as Pharaoh's `i-j` (source-target, from 0), in the order of the target."""
    found = word_links(alignment, threshold=threshold)
    return " ".join(f"{i}-{j}" for i, j in sorted(found, key=lambda link: (link[1], link[0])))


def parse_pharaoh(line: str) -> set[Link]:
    """Read `i-j` links back; raises CorpusError for anything else in the line."""
    found = set()
    for entry in line.split():
        match = re.fullmatch(r"([0-9]{1,9})-([0-9]{1,9})", entry)
        if match is None:
            raise CorpusError(
                f"{entry[:40]!r} is not an alignment link",
                hint="links look like `0-0 2-1`: source word, hyphen, target word, counted from 0",
            )
        found.add((int(match[1]), int(match[2])))
    return found


def alignment_error_rate(
    links: Sequence[Set[Link]], sure: Sequence[Set[Link]], possible: Sequence[Set[Link]]
) -> AlignmentQuality:
    """Links A of a corpus, one set a sentence, against sure S and possible P ones from people.

    precision = |A & P| / |A|, recall = |A & S| / |S|,
    AER = 1 - (|A & S| + |A & P|) / (|A| + |S|), Och and Ney (2003), section 5.

    A sure link counts as possible too. Counts are summed over the corpus before any division;
    where there is nothing to be wrong about, nothing is wrong (precision 1, recall 1, AER 0).
    """
    n_links = n_sure = hits_sure = hits_possible = 0
    for found, certain, allowed in zip(links, sure, possible, strict=True):
        n_links += len(found)
        n_sure += len(certain)
        hits_sure += len(found & certain)
        hits_possible += len(found & (certain | allowed))
    return AlignmentQuality(
        aer=1 - (hits_sure + hits_possible) / (n_links + n_sure) if n_links + n_sure else 0.0,
        precision=hits_possible / n_links if n_links else 1.0,
        recall=hits_sure / n_sure if n_sure else 1.0,
    )


def row_entropy(alignment: Alignment) -> FloatArray:
    """How spread each target word's attention is, in nats: 0 on one word, log S on all. [T]"""
    weights = alignment.weights
    logs = np.log(weights, where=weights > 0, out=np.zeros(weights.shape))  # 0 log 0 = 0
    entropy: FloatArray = -(weights * logs).sum(axis=1)
    return entropy


def coverage(alignment: Alignment) -> FloatArray:
    """How much attention each source word got from all target words together. [S]"""
    column_sums: FloatArray = alignment.weights.sum(axis=0)
    return column_sums


def to_json(alignment: Alignment) -> dict[str, Any]:
    """Labels and weights [T, S] as lists that `json.dumps` takes; weights to 4 decimals."""
    return {
        "source": list(alignment.source),
        "target": list(alignment.target),
        "weights": [[round(float(weight), 4) for weight in row] for row in alignment.weights],
    }


def shown_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels with the end of the sentence as its mark."""
    return (*labels[:-1], END_MARK) if labels[-1:] == (END_OF_SENTENCE,) else labels


def _without_end(labels: tuple[str, ...]) -> int:
    """How many labels stand before the end of the sentence."""
    return len(labels) - (labels[-1:] in ((END_OF_SENTENCE,), (END_MARK,)))


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int  # its first piece


def _words(pieces: tuple[str, ...]) -> list[_Word]:
    """Cut pieces into words; a word ends where the next one starts."""
    end = _without_end(pieces)
    words: list[_Word] = []
    for atom in _atoms(pieces[:end]):
        if words and not _starts_word(words[-1].text, atom.text):
            words[-1] = _Word(words[-1].text + atom.text, words[-1].start)
        else:
            words.append(atom)
    words = [_Word(_spaced(word.text), word.start) for word in words]
    if end < len(pieces):
        words.append(_Word(END_MARK, end))
    return words


def _spaced(text: str) -> str:
    return text.replace(_WORD_START, " ").strip(" ") or text


def _starts_word(before: str, piece: str) -> bool:
    """Whether a piece starts a new word after this text.

    A word boundary is a space; in scripts without spaces every piece is a word of its own, but
    for one that starts with a combining mark (Thai vowels, for example).
    """
    if piece.startswith(_WORD_START):
        return True
    if not before.strip(_WORD_START) or not piece or unicodedata.category(piece[0])[0] == "M":
        return False
    return _is_spaceless(before[-1]) or _is_spaceless(piece[0])


def _atoms(pieces: tuple[str, ...]) -> list[_Word]:
    """The pieces, with runs of byte pieces such as `<0xE2>` decoded into one atom a character."""
    atoms: list[_Word] = []
    position = 0
    while position < len(pieces):
        run = _byte_run(pieces, position)
        if run:
            for text, offset in _decoded(run):
                atoms.append(_Word(text, position + offset))
            position += len(run)
        else:
            atoms.append(_Word(pieces[position], position))
            position += 1
    return atoms


def _byte_run(pieces: tuple[str, ...], start: int) -> bytes:
    run = bytearray()
    for piece in pieces[start:]:
        match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece)
        if match is None:
            break
        run.append(int(match[1], 16))
    return bytes(run)


def _decoded(run: bytes) -> list[tuple[str, int]]:
    """The characters of UTF-8 bytes and where each starts; `�` for a byte that belongs to none."""
    characters: list[tuple[str, int]] = []
    start = 0
    while start < len(run):
        length, text = 1, "\ufffd"
        for trial in range(1, 5):
            try:
                length, text = trial, run[start : start + trial].decode()
                break
            except UnicodeDecodeError:
                continue
        characters.append((text, start))
        start += length
    return characters


_SPACELESS = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # CJK radicals and punctuation, Kana, Bopomofo; not Hangul
    (0x3190, 0x9FFF),  # Kana extensions and CJK ideographs
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1B000, 0x1B16F),  # Kana supplement
    (0x20000, 0x3FFFF),  # CJK extensions
)


def _is_spaceless(character: str) -> bool:
    """Whether the script of this character is written without spaces between words."""
    code = ord(character)
    return any(first <= code <= last for first, last in _SPACELESS)
