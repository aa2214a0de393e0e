"""Attention laid out as lines of text that fit a screen; painting them is the terminal's business.

A map has a row for each target word and a column for each source word. It is drawn as a `grid`
(two cells a column), failing that `compact` (one cell), failing that as a `list` of the strongest
weights; what fits is measured in terminal cells. No line is ever wider than asked for, and a label
that had to be shortened ends in "…". Terminals disagree on the width of joined and stacked scripts
and on the order of right-to-left ones, so such labels stand where nothing is to their right.
"""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from wcwidth import iter_graphemes, wcswidth

from seq2seq.evaluation.alignment import Alignment, FloatArray, shown_labels
from seq2seq.system.visible import visible

CAUTION = (
    "attention is not word alignment: it shows where the decoder looked, "
    "and recurrent decoders often look one word off"
)
MARK = "•"
"""Stands in the largest weight of a row, so that colour is never the only sign of it."""

_GAMMA = 0.6  # lifts small weights, which the eye would lose
_LOWEST, _MIDDLE, _HIGH = 0.15, 0.4, 0.7  # shades from which ░, ▒ and ▓ are used
_ROW_LABEL = 10  # cells a row label keeps before a narrower mode is chosen
_HEADER_ROWS = 14  # a longer column label is shortened
_BAR = 8  # cells of a bar for weight 1
_LISTED, _LISTED_WEIGHT = 3, 0.02  # a list shows so many weights a row, and none below this

Mode: TypeAlias = Literal["grid", "compact", "list"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one look."""

    text: str
    shade: float | None = None
    """How strongly to shade the background, from 0 to 1; None for text outside the map."""
    strong: bool = False
    """Part of the largest weight of its row."""


Line: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    lines: tuple[Line, ...]
    mode: Mode


def draw_alignment(
    alignment: Alignment, *, width: int, values: bool = False, caution: bool = False
) -> Drawing:
    """Lay out target words as rows over source words as columns, in `width` cells."""
    return draw_matrix(
        shown_labels(alignment.target),
        shown_labels(alignment.source),
        alignment.weights,
        width=width,
        values=values,
        note=CAUTION if caution else None,
    )


def draw_matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    weights: ArrayLike,
    *,
    width: int,
    values: bool = False,
    note: str | None = None,
) -> Drawing:
    """Lay out any table of weights [rows, columns]: heads, users and films, words and words.

    Each row is shaded from nothing to its own largest weight; with `values` every cell also shows
    its weight in hundredths. A weight that is no number is drawn as "?". The note goes below.
    """
    matrix = np.asarray(weights, np.float64).reshape(len(rows), len(columns))
    table = _Table([_shown(row) for row in rows], [_shown(column) for column in columns], matrix)
    width = max(1, width)
    mode = _mode(table, width, values=values)
    lines = _list(table, width) if mode == "list" else _map(table, width, mode, values=values)
    if note:
        lines += [(Span(part),) for part in textwrap.wrap(_shown(note), width)]
    return Drawing(tuple(_within(line, width) for line in lines), mode)


def plain_text(drawing: Drawing) -> str:
    """The drawing as lines of text without colours, shaded by ` ░▒▓█`; every line ends in "\\n"."""
    return "".join("".join(map(glyphs, line)).rstrip() + "\n" for line in drawing.lines)


def glyphs(span: Span) -> str:
    """The text of a span where colours cannot be used; █ is only ever a row's largest weight."""
    if span.shade is None or span.text.strip(f" {MARK}"):
        return span.text
    if span.strong:
        return "█" * len(span.text)
    level = (span.shade >= _LOWEST) + (span.shade >= _MIDDLE) + (span.shade >= _HIGH)
    return " ░▒▓"[level] * len(span.text)


def cell_width(text: str) -> int:
    """Terminal cells that this text takes, after `visible`."""
    return max(0, wcswidth(text))


def shorten(text: str, width: int) -> str:
    """The text, or as much of its start as fits in `width` cells with "…" behind it."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for grapheme in iter_graphemes(text):
        if cell_width(f"{kept}{grapheme}…") > width:  # a joiner may take in what follows
            break
        kept += grapheme
    return kept + "…" if width > 0 else ""


@dataclass(frozen=True, slots=True)
class _Table:
    rows: list[str]
    columns: list[str]
    weights: FloatArray  # [rows, columns]

    @property
    def labels_right(self) -> bool:
        """Whether row labels go to the end of their line, where their width moves nothing."""
        return not all(map(_is_plain, self.rows))

    @property
    def numbered(self) -> bool:
        """Whether column labels need a legend, because some of them cannot be stacked."""
        return not all(map(_is_plain, self.columns))


def _shown(label: str) -> str:
    """A label fit for a screen: composed, nothing in it that drives a terminal, never blank."""
    text = unicodedata.normalize("NFC", visible(label))
    if not text.strip():
        return "␣"
    return f"◌{text}" if unicodedata.category(text[0])[0] == "M" else text


# Scripts whose characters neither join nor stack nor run from right to left.
_PLAIN = (
    (0x0020, 0x058F),  # Latin, combining marks, Greek, Cyrillic, Armenian
    (0x10A0, 0x10FF),  # Georgian
    (0x13A0, 0x13FF),  # Cherokee
    (0x1C80, 0x1CBF),  # Cyrillic and Georgian extensions
    (0x1D00, 0x1FFF),  # phonetic, Latin and Greek extensions
    (0x2010, 0x2E7F),  # punctuation, letterlike and other symbols, more Latin and Cyrillic
    (0x2E80, 0xA4CF),  # CJK, Kana, Bopomofo, Yi
    (0xA640, 0xA69F),  # Cyrillic
    (0xA700, 0xA7FF),  # Latin
    (0xAB30, 0xAB6F),  # Latin
    (0xAC00, 0xD7A3),  # Hangul syllables
    (0xF900, 0xFAFF),  # CJK compatibility
    (0xFE30, 0xFE4F),  # CJK compatibility
    (0xFF01, 0xFFEE),  # fullwidth and halfwidth forms
    (0xFFFD, 0xFFFD),  # the replacement character
    (0x1D400, 0x1D7FF),  # mathematical letters
    (0x1F000, 0x1F1E5),  # symbols, up to the letters of flags
    (0x1F200, 0x1FAFF),  # emoji
    (0x20000, 0x3FFFF),  # CJK
)


def _is_plain(label: str) -> bool:
    """Whether every terminal gives this label the same cells, also one character below another."""
    return label.isascii() or all(map(_is_plain_grapheme, iter_graphemes(label)))


def _is_plain_grapheme(grapheme: str) -> bool:
    first, marks = grapheme[0], grapheme[1:]
    return (
        any(low <= ord(first) <= high for low, high in _PLAIN)
        and unicodedata.category(first) not in ("Mn", "Mc", "Me", "Cf", "Cn")
        and all("\u0300" <= mark <= "\u036f" for mark in marks)
    )


def _is_right_to_left(label: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in label)


def _mode(table: _Table, width: int, *, values: bool) -> Mode:
    """The widest form of map that leaves room for the row labels, or else a list."""
    longest = max(map(cell_width, table.rows), default=0)
    room = width - 1 - min(longest, _ROW_LABEL)
    if _column_width("grid", values=values) * len(table.columns) <= room:
        return "grid"
    return "compact" if len(table.columns) <= room and not values else "list"


def _column_width(mode: Mode, *, values: bool) -> int:
    return 1 if mode == "compact" else 3 if values else 2


def _map(table: _Table, width: int, mode: Mode, *, values: bool) -> list[Line]:
    """Column labels downwards, a line of cells for each row, and a legend where one is needed."""
    column = _column_width(mode, values=values)
    longest = max(map(cell_width, table.rows), default=0)
    room = min(longest, width - 1 - column * len(table.columns))
    labels = [shorten(label, room) for label in table.rows]

    parts = (part for label in table.columns for part in iter_graphemes(label))
    numbered = table.numbered or any(cell_width(part) > column for part in parts)
    names = _numbers(len(table.columns)) if numbered else table.columns
    margin = "" if table.labels_right else " " * (room + 1)
    lines: list[Line] = [
        (Span((margin + "".join(_in_column(part, column) for part in row)).rstrip()),)
        for row in _stacked(names)
    ]
    for label, weights in zip(labels, table.weights, strict=True):
        cells = _cells(weights, column, values=values)
        if table.labels_right:
            lines.append((*cells, Span(f" {label}")))
        else:
            lines.append((Span(_right(label, room) + " "), *cells))
    return lines + (_legend(table.columns, width) if numbered else [])


def _stacked(labels: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Labels written downwards, all ending on the last line; one tuple of graphemes a line."""
    stacks = [list(iter_graphemes(label)) for label in labels]
    stacks = [
        stack if len(stack) <= _HEADER_ROWS else [*stack[: _HEADER_ROWS - 1], "…"]
        for stack in stacks
    ]
    upwards = zip_longest(*(reversed(stack) for stack in stacks), fillvalue="")
    return reversed(list(upwards))


def _in_column(text: str, column: int) -> str:
    """One grapheme in its column: at the left of a pair of cells, above the digits of a value."""
    text = text if column < 3 else f" {text}"
    return text + " " * (column - cell_width(text))


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _legend(labels: Sequence[str], width: int) -> list[Line]:
    """What the numbered columns are: side by side, or one a line where text runs right to left."""
    entries = [f"{number} {label}" for number, label in enumerate(labels, start=1)]
    if any(map(_is_right_to_left, labels)):
        return [(Span(entry),) for entry in entries]
    lines: list[str] = []
    for entry in entries:
        if lines and cell_width(f"{lines[-1]}   {entry}") <= width:
            lines[-1] += f"   {entry}"
        else:
            lines.append(entry)
    return [(Span(line),) for line in lines]


def _cells(weights: FloatArray, column: int, *, values: bool) -> list[Span]:
    """The cells of one row; neighbours of the same look become one span."""
    best = _best(weights)
    shades = _shades(weights)
    spans = []
    for index, (weight, shade) in enumerate(zip(weights.tolist(), shades.tolist(), strict=True)):
        mark = MARK if index == best else ""
        if not np.isfinite(weight):
            text = "? ".rjust(column)
        elif values:
            text = f"{mark}{_hundredths(weight):>2}".rjust(column)[-column:]
        else:
            text = mark.ljust(column)
        spans.append(Span(text, shade, strong=index == best))
    return [
        Span("".join(span.text for span in alike), shade, strong)
        for (shade, strong), alike in groupby(spans, key=lambda span: (span.shade, span.strong))
    ]


def _hundredths(weight: float) -> str:
    """93 for 0.93, blank for what would be 0."""
    number = round(100 * min(max(weight, 0.0), 1.0))
    return str(number) if number else ""


def _best(weights: FloatArray) -> int | None:
    """The first of the largest weights, or None where no weight is above zero."""
    finite = np.where(np.isfinite(weights), weights, 0.0)
    return int(finite.argmax()) if finite.size and finite.max() > 0 else None


def _shades(weights: FloatArray) -> FloatArray:
    """Weights as parts of the row's largest, lifted by gamma and cut to hundredths, 0 to 1."""
    finite = np.where(np.isfinite(weights), np.maximum(weights, 0.0), 0.0)
    largest = finite.max(initial=0.0)
    if largest <= 0:
        return np.zeros(weights.shape)
    shades: FloatArray = np.round((finite / largest) ** _GAMMA, 2)
    return shades


def _list(table: _Table, width: int) -> list[Line]:
    """The strongest weights of each row in words; on one line where the labels allow it."""
    label_width = min(max(map(cell_width, table.rows), default=0), max(4, width // 3))
    first = width - (label_width + len(" ← ") + len(" 0.93 ") + _BAR)
    longest = max(map(cell_width, table.columns), default=0)
    if table.labels_right or table.numbered or first < min(longest, 8):
        return [line for index in range(len(table.rows)) for line in _entries(table, index, width)]
    return [_sentence(table, index, label_width, first, width) for index in range(len(table.rows))]


def _sentence(table: _Table, row: int, label_width: int, first: int, width: int) -> Line:
    """`cat ← Katze 0.93 ▇▇▇▇▇▇▇ · die 0.04`, with as many words as fit."""
    label = _left(shorten(table.rows[row], label_width), label_width)
    strongest = _strongest(table.weights[row])
    if not strongest:
        return (Span(label),)
    best, *others = strongest
    weight = float(table.weights[row, best])
    line = [
        Span(f"{label} ← "),
        Span(shorten(table.columns[best], first), strong=True),
        Span(f" {weight:.2f} {_bar(weight)}".rstrip()),
    ]
    used = sum(cell_width(span.text) for span in line)
    for other in others:
        part = f" · {table.columns[other]} {table.weights[row, other]:.2f}"
        used += cell_width(part)
        if used > width:
            break
        line.append(Span(part))
    return tuple(line)


def _entries(table: _Table, row: int, width: int) -> list[Line]:
    """A line for the row and one for each of its strongest weights, labels always at the end."""
    bar = _BAR + 1 if width >= 24 else 0
    indent = "  " if width >= 12 else ""
    lines: list[Line] = [(Span(shorten(table.rows[row], width)),)]
    for rank, column in enumerate(_strongest(table.weights[row])):
        weight = float(table.weights[row, column])
        start = f"{indent}{weight:.2f} {_bar(weight)[:bar]:{bar}}"
        label = shorten(table.columns[column], width - len(start))
        lines.append((Span(start), Span(label, strong=rank == 0)))
    return lines


def _strongest(weights: FloatArray) -> list[int]:
    """The columns a list shows: the largest weight, and a few more that are not negligible."""
    finite = np.where(np.isfinite(weights), weights, 0.0)
    order = np.argsort(-finite, kind="stable")[:_LISTED].tolist()
    return [
        index
        for rank, index in enumerate(order)
        if finite[index] >= _LISTED_WEIGHT or (rank == 0 and finite[index] > 0)
    ]


def _bar(weight: float) -> str:
    return "▇" * round(_BAR * min(max(weight, 0.0), 1.0))


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_width(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_width(text)) + text


def _within(line: Line, width: int) -> Line:
    """The line, cut with "…" where even its narrowest form is too wide."""
    text = "".join(span.text for span in line)
    return line if cell_width(text) <= width else (Span(shorten(text, width)),)
