"""Alignments as values: merging pieces into words, links, statistics."""

import re
import unicodedata
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import CorpusError
from seq2seq.system.pharaoh import parse_entries

FloatArray: TypeAlias = NDArray[np.float64]
Link: TypeAlias = tuple[int, int]  # source word, target word, both from 0

END_OF_SENTENCE = "</s>"
END_MARK = "⏎"
"""How the end of the sentence is displayed: it often gets attention, which must not be hidden."""

_WORD_START = "▁"  # U+2581, SentencePiece's stand-in for a space


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Attention weights, read as "this target token was written from that source token"."""

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
class WordPieces:
    """Words of a sentence, and the number of the word, from 0, that each of its pieces spells."""

    words: tuple[str, ...]
    numbers: tuple[int, ...]


def merge_pieces(alignment: Alignment) -> Alignment:
    """Merge SentencePiece pieces into words; weights are summed over the pieces of a source word
    and averaged over those of a target word, so rows still sum to 1.

    Scripts written without spaces (Chinese, Japanese, Thai, ...) keep their pieces, byte-fallback
    pieces become characters, and the end of the sentence is never merged.
    """
    source, target = _merged(alignment.source), _merged(alignment.target)
    weights = np.zeros((len(target), len(source)))
    if target and source:
        columns = np.add.reduceat(  # [T, source words]
            np.asarray(alignment.weights, np.float64), [word.start for word in source], axis=1
        )
        sums = np.add.reduceat(columns, [word.start for word in target], axis=0)
        pieces = np.diff([word.start for word in target] + [len(alignment.target)])
        weights = sums / pieces[:, np.newaxis]
    return Alignment(
        tuple(word.text for word in source), tuple(word.text for word in target), weights
    )


def merge_words(alignment: Alignment, source: WordPieces, target: WordPieces) -> Alignment:
    """Merge pieces into the words between spaces, whatever the script, as links of files count
    them; weights are summed over the pieces of a source word and averaged over those of a target
    word.

    A word of which the model has no piece, because normalisation removed it or the sentence was
    cut, gets no weight.
    """
    columns = _word_matrix(source, alignment.source)  # [words, pieces]
    rows = _word_matrix(target, alignment.target)
    rows /= np.maximum(rows.sum(axis=1, keepdims=True), 1)
    return Alignment(
        (*source.words, END_MARK)[: len(columns)],
        (*target.words, END_MARK)[: len(rows)],
        rows @ alignment.weights @ columns.T,
    )


def shift_rows(alignment: Alignment, shift: int) -> Alignment:
    """Give each target piece the weights of the step `shift` after the one that wrote it.

    With 1 these are the weights of the step that has the piece as its input. Beyond an end of the
    sentence the weights of its last or first step are taken again.
    """
    if not shift or not alignment.target:
        return alignment
    steps = np.arange(len(alignment.target)) + shift
    weights = alignment.weights[np.clip(steps, 0, len(alignment.target) - 1)]
    return Alignment(alignment.source, alignment.target, weights)


def posterior(alignment: Alignment, likelihoods: FloatArray) -> Alignment:
    """Bayes' rule: weights times likelihoods, both [T, S], with rows that sum to 1 again."""
    joint = alignment.weights * likelihoods
    totals = joint.sum(axis=1, keepdims=True)
    return Alignment(alignment.source, alignment.target, joint / np.where(totals > 0, totals, 1))


def word_links(alignment: Alignment, *, threshold: float | None = None) -> set[Link]:
    """Every target word with the source word of its largest weight, as (source, target) from 0.

    With a threshold: every target word with all source words of at least that weight, none or
    several. The end of the sentence is never linked, on either side.
    """
    n_source, n_target = _count_words(alignment.source), _count_words(alignment.target)
    weights = alignment.weights
    if threshold is not None:
        rows, columns = np.nonzero(weights[:n_target, :n_source] >= threshold)
        return {(int(i), int(j)) for i, j in zip(columns, rows, strict=True)}
    if not n_source:
        return set()
    best = [int(weights[j].argmax()) for j in range(n_target)]
    return {(i, j) for j, i in enumerate(best) if i < n_source and weights[j, i] > 0}


def pharaoh(alignment: Alignment, *, threshold: float | None = None) -> str:
    """The links as Pharaoh's `i-j` (source-target, from 0), in the order of the target."""
    return pharaoh_line(word_links(alignment, threshold=threshold))


def pharaoh_line(links: Set[Link]) -> str:
    """Links as Pharaoh's `i-j`, in the order of the target."""
    return " ".join(f"{i}-{j}" for i, j in sorted(links, key=lambda link: (link[1], link[0])))


def parse_pharaoh(line: str) -> set[Link]:
    """The sure links of a line, `i-j`. Raises CorpusError for anything else in the line."""
    found = parse_entries(line)
    for entry in found:
        if entry.mark != "-":
            raise CorpusError(
                f"'{entry.source}{entry.mark}{entry.target}' is not an alignment link that is sure",
                hint="links look like `0-0 2-1`: source word, hyphen, target word, counted from 0",
            )
    return {(entry.source, entry.target) for entry in found}


def row_entropy(alignment: Alignment) -> FloatArray:
    """Entropy of each target word's weights, in nats: 0 if one is 1, log S if all are equal. [T]"""
    weights = alignment.weights
    logs = np.log(weights, where=weights > 0, out=np.zeros(weights.shape))  # 0 log 0 = 0
    entropy: FloatArray = -(weights * logs).sum(axis=1)
    return entropy


def coverage(alignment: Alignment) -> FloatArray:
    """The sum of each source word's weights over all target words. [S]"""
    column_sums: FloatArray = alignment.weights.sum(axis=0)
    return column_sums


def to_json(alignment: Alignment) -> dict[str, Any]:
    """Labels and weights [T, S] as lists that `json.dumps` takes; weights to 4 decimals."""
    return {
        "source": list(alignment.source),
        "target": list(alignment.target),
        "weights": [[round(float(weight), 4) for weight in row] for row in alignment.weights],
    }


def word_starts(pieces: tuple[str, ...]) -> list[int]:
    """The index of the first piece of each word as `merge_pieces` merges them."""
    return [word.start for word in _merged(pieces)]


def display_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels with `END_MARK` in place of the end-of-sentence symbol."""
    return (*labels[:-1], END_MARK) if labels[-1:] == (END_OF_SENTENCE,) else labels


def _word_matrix(words: WordPieces, pieces: tuple[str, ...]) -> FloatArray:
    """1 where a piece spells a word; the end of the sentence is a word of its own. [words, pieces]

    There may be fewer pieces than numbers of them, where the sentence was cut.
    """
    end = _count_words(pieces)
    has_end = end < len(pieces)
    matrix = np.zeros((len(words.words) + has_end, len(pieces)))
    matrix[list(words.numbers[:end]), np.arange(end)] = 1
    if has_end:
        matrix[-1, -1] = 1
    return matrix


def _count_words(labels: tuple[str, ...]) -> int:
    """The number of labels before the end of the sentence."""
    return len(labels) - (labels[-1:] in ((END_OF_SENTENCE,), (END_MARK,)))


@dataclass(frozen=True, slots=True)
class _Segment:
    """A word or character, which reaches to the start of the next one."""

    text: str
    start: int  # index of its first piece


def _merged(pieces: tuple[str, ...]) -> list[_Segment]:
    """The words that pieces spell, the end of the sentence as one of its own."""
    end = _count_words(pieces)
    words: list[_Segment] = []
    for part in _decode_byte_pieces(pieces[:end]):
        if words and not _starts_word(words[-1].text, part.text):
            words[-1] = _Segment(words[-1].text + part.text, words[-1].start)
        else:
            words.append(part)
    words = [_Segment(_without_word_starts(word.text), word.start) for word in words]
    if end < len(pieces):
        words.append(_Segment(END_MARK, end))
    return words


def _without_word_starts(text: str) -> str:
    return text.replace(_WORD_START, " ").strip(" ") or text


def _starts_word(before: str, piece: str) -> bool:
    """Whether a piece starts a new word after this text.

    Words are separated by spaces. In scripts without spaces every piece is a word of its own,
    unless it starts with a combining mark (Thai vowels, for example).
    """
    if piece.startswith(_WORD_START):
        return True
    if not before.strip(_WORD_START) or not piece or unicodedata.category(piece[0])[0] == "M":
        return False
    return _is_spaceless(before[-1]) or _is_spaceless(piece[0])


def _decode_byte_pieces(pieces: tuple[str, ...]) -> list[_Segment]:
    """The pieces, with runs of byte pieces such as `<0xE2>` decoded to one segment a character."""
    segments: list[_Segment] = []
    position = 0
    while position < len(pieces):
        run = _byte_run(pieces, position)
        if run:
            for text, offset in _decode(run):
                segments.append(_Segment(text, position + offset))
            position += len(run)
        else:
            segments.append(_Segment(pieces[position], position))
            position += 1
    return segments


def _byte_run(pieces: tuple[str, ...], start: int) -> bytes:
    """The bytes of the byte pieces that follow each other from `start` on."""
    run = bytearray()
    for piece in pieces[start:]:
        match = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece)
        if match is None:
            break
        run.append(int(match[1], 16))
    return bytes(run)


def _decode(run: bytes) -> list[tuple[str, int]]:
    """The characters of UTF-8 bytes, each with its first byte's index; `�` for an invalid byte."""
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
