"""Attention weights as lines of text of a given width; cli/terminal/drawing.py colours them.

A map has a row for each target word and a column for each source word. It is drawn as a `grid`
(two terminal cells a column), or if that is too wide `compact` (one cell), or else as a `list` of
the largest weights. Widths are measured in terminal cells. No line is ever wider than `width`, and
a shortened label ends in "…". Terminals disagree on the width of joined and stacked scripts and on
the order of right-to-left ones, so such labels are put at the end of their lines.
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

from seq2seq.evaluation.alignment import Alignment, FloatArray, display_labels
from seq2seq.system.visible import visible

CAUTION = (
    "attention is not word alignment: it shows which words the decoder attended to, "
    "and recurrent decoders are often one word off"
)
MARK = "•"
"""Marks the largest weight of a row, so that colour is never the only sign of it."""

_GAMMA = 0.6  # makes small weights visible: a shade is (weight / largest) ** _GAMMA
_GLYPH_SHADES = (0.15, 0.4, 0.7)  # the lowest shades drawn as ░, ▒ and ▓
_ROW_LABEL_WIDTH = 10  # cells that row labels keep, if need be by a narrower mode
_HEADER_HEIGHT = 14  # graphemes; a longer column label is shortened
_BAR_WIDTH = 8  # cells of a bar for weight 1
_LIST_LENGTH, _LIST_THRESHOLD = 3, 0.02  # weights listed in a row, at most and from

Mode: TypeAlias = Literal["grid", "compact", "list"]


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style."""

    text: str
    shade: float | None = None
    """How strongly to shade the background, from 0 to 1; None for text outside the map."""
    strong: bool = False
    """Part of the largest weight of its row."""


Spans: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A table of weights, laid out as lines of styled text."""

    lines: tuple[Spans, ...]
    mode: Mode


def draw_alignment(
    alignment: Alignment, *, width: int, values: bool = False, caution: bool = False
) -> Drawing:
    """Lay out an alignment, target words as rows and source words as columns, in `width` cells."""
    return draw_matrix(
        display_labels(alignment.target),
        display_labels(alignment.source),
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
    """Lay out any table of weights [rows, columns], such as users by films, in `width` cells.

    Each row is shaded from zero to its own largest weight; with `values` every cell also shows its
    weight in hundredths. NaN and infinity are drawn as "?". The note is put below.
    """
    matrix = np.asarray(weights, np.float64).reshape(len(rows), len(columns))
    table = _Table(list(map(_printable, rows)), list(map(_printable, columns)), matrix)
    width = max(1, width)
    mode = _choose_mode(table, width, values=values)
    if mode == "list":
        lines = _draw_list(table, width)
    else:
        lines = _draw_map(table, width, mode, values=values)
    if note:
        lines += [(Span(part),) for part in textwrap.wrap(_printable(note), width)]
    return Drawing(tuple(_clip(line, width) for line in lines), mode)


def plain_text(drawing: Drawing) -> str:
    """The drawing without colours, shaded by ` ░▒▓█`; every line ends in "\\n"."""
    return "".join("".join(map(glyphs, line)).rstrip() + "\n" for line in drawing.lines)


def glyphs(span: Span) -> str:
    """The text of a span without colours; only the largest weight of a row is drawn as █."""
    if span.shade is None or span.text.strip(f" {MARK}"):
        return span.text
    if span.strong:
        return "█" * len(span.text)
    level = sum(span.shade >= lowest for lowest in _GLYPH_SHADES)
    return " ░▒▓"[level] * len(span.text)


def cell_width(text: str) -> int:
    """Terminal cells that this text takes, after `visible`."""
    return max(0, wcswidth(text))


def shorten(text: str, width: int) -> str:
    """The text, or as much of its start as fits in `width` cells with "…" after it."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for grapheme in iter_graphemes(text):
        if cell_width(f"{kept}{grapheme}…") > width:  # a joiner may merge with what follows
            break
        kept += grapheme
    return kept + "…" if width > 0 else ""


@dataclass(frozen=True, slots=True)
class _Table:
    rows: list[str]
    columns: list[str]
    weights: FloatArray  # [rows, columns]

    @property
    def labels_at_end(self) -> bool:
        """Whether row labels go to the end of their lines, where their width does not matter."""
        return not all(map(_is_plain, self.rows))

    @property
    def needs_legend(self) -> bool:
        """Whether columns are numbered, because some labels cannot be written downwards."""
        return not all(map(_is_plain, self.columns))


def _printable(label: str) -> str:
    """A label safe to print: in composed form, without control characters, never blank."""
    text = unicodedata.normalize("NFC", visible(label))
    if not text.strip():
        return "␣"
    return f"◌{text}" if unicodedata.category(text[0])[0] == "M" else text


# Scripts whose characters are neither joined nor stacked nor written from right to left.
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
    """Whether all terminals agree on the width of this label, and of its characters one by one."""
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


def _choose_mode(table: _Table, width: int, *, values: bool) -> Mode:
    """The widest form of map that fits beside the row labels, or else a list."""
    longest = max(map(cell_width, table.rows), default=0)
    available = width - 1 - min(longest, _ROW_LABEL_WIDTH)
    if _column_width("grid", values=values) * len(table.columns) <= available:
        return "grid"
    return "compact" if len(table.columns) <= available and not values else "list"


def _column_width(mode: Mode, *, values: bool) -> int:
    return 1 if mode == "compact" else 3 if values else 2


def _draw_map(table: _Table, width: int, mode: Mode, *, values: bool) -> list[Spans]:
    """Column labels written downwards, a line of cells for each row, and a legend if needed."""
    column = _column_width(mode, values=values)
    longest = max(map(cell_width, table.rows), default=0)
    label_width = min(longest, width - 1 - column * len(table.columns))
    labels = [shorten(label, label_width) for label in table.rows]

    parts = (part for label in table.columns for part in iter_graphemes(label))
    numbered = table.needs_legend or any(cell_width(part) > column for part in parts)
    names = _numbers(len(table.columns)) if numbered else table.columns
    margin = "" if table.labels_at_end else " " * (label_width + 1)
    lines: list[Spans] = [
        (Span((margin + "".join(_in_column(part, column) for part in row)).rstrip()),)
        for row in _stacked(names)
    ]
    for label, weights in zip(labels, table.weights, strict=True):
        cells = _cells(weights, column, values=values)
        if table.labels_at_end:
            lines.append((*cells, Span(f" {label}")))
        else:
            lines.append((Span(_rjust(label, label_width) + " "), *cells))
    return lines + (_legend(table.columns, width) if numbered else [])


def _stacked(labels: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Labels written downwards, all ending on the last line: a tuple of graphemes for each line."""
    stacks = [list(iter_graphemes(label)) for label in labels]
    stacks = [
        stack if len(stack) <= _HEADER_HEIGHT else [*stack[: _HEADER_HEIGHT - 1], "…"]
        for stack in stacks
    ]
    upwards = zip_longest(*(reversed(stack) for stack in stacks), fillvalue="")
    return reversed(list(upwards))


def _in_column(text: str, column: int) -> str:
    """One grapheme padded to its column: at the left of two cells, in the middle of three."""
    text = text if column < 3 else f" {text}"
    return text + " " * (column - cell_width(text))


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _legend(labels: Sequence[str], width: int) -> list[Spans]:
    """The labels of numbered columns: side by side, or one a line if any runs right to left."""
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
    """The cells of one row; adjacent cells of the same style become one span."""
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
    """93 for 0.93; blank if it rounds to 0."""
    number = round(100 * min(max(weight, 0.0), 1.0))
    return str(number) if number else ""


def _best(weights: FloatArray) -> int | None:
    """The column of the first largest weight, or None if no weight is above zero."""
    finite = np.where(np.isfinite(weights), weights, 0.0)
    return int(finite.argmax()) if finite.size and finite.max() > 0 else None


def _shades(weights: FloatArray) -> FloatArray:
    """(weight / the row's largest) ** _GAMMA, rounded to hundredths: 0 to 1."""
    finite = np.where(np.isfinite(weights), np.maximum(weights, 0.0), 0.0)
    largest = finite.max(initial=0.0)
    if largest <= 0:
        return np.zeros(weights.shape)
    shades: FloatArray = np.round((finite / largest) ** _GAMMA, 2)
    return shades


def _draw_list(table: _Table, width: int) -> list[Spans]:
    """The largest weights of each row with their columns; on one line if the labels allow it."""
    label_width = min(max(map(cell_width, table.rows), default=0), max(4, width // 3))
    best_width = width - (label_width + len(" ← ") + len(" 0.93 ") + _BAR_WIDTH)
    longest = max(map(cell_width, table.columns), default=0)
    if table.labels_at_end or table.needs_legend or best_width < min(longest, 8):
        return [
            line for index in range(len(table.rows)) for line in _entry_lines(table, index, width)
        ]
    return [
        _list_line(table, index, label_width, best_width, width) for index in range(len(table.rows))
    ]


def _list_line(table: _Table, row: int, label_width: int, best_width: int, width: int) -> Spans:
    """`cat ← Katze 0.93 ▇▇▇▇▇▇▇ · die 0.04`, with as many columns as fit."""
    label = _ljust(shorten(table.rows[row], label_width), label_width)
    strongest = _strongest(table.weights[row])
    if not strongest:
        return (Span(label),)
    best, *others = strongest
    weight = float(table.weights[row, best])
    line = [
        Span(f"{label} ← "),
        Span(shorten(table.columns[best], best_width), strong=True),
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


def _entry_lines(table: _Table, row: int, width: int) -> list[Spans]:
    """A line for the row and one for each of its largest weights, with labels at the end."""
    bar = _BAR_WIDTH + 1 if width >= 24 else 0
    indent = "  " if width >= 12 else ""
    lines: list[Spans] = [(Span(shorten(table.rows[row], width)),)]
    for rank, column in enumerate(_strongest(table.weights[row])):
        weight = float(table.weights[row, column])
        start = f"{indent}{weight:.2f} {_bar(weight)[:bar]:{bar}}"
        label = shorten(table.columns[column], width - len(start))
        lines.append((Span(start), Span(label, strong=rank == 0)))
    return lines


def _strongest(weights: FloatArray) -> list[int]:
    """The columns that a list shows: of the largest weight, and of a few more if large enough."""
    finite = np.where(np.isfinite(weights), weights, 0.0)
    order = np.argsort(-finite, kind="stable")[:_LIST_LENGTH].tolist()
    return [
        index
        for rank, index in enumerate(order)
        if finite[index] >= _LIST_THRESHOLD or (rank == 0 and finite[index] > 0)
    ]


def _bar(weight: float) -> str:
    return "▇" * round(_BAR_WIDTH * min(max(weight, 0.0), 1.0))


def _ljust(text: str, width: int) -> str:
    return text + " " * (width - cell_width(text))


def _rjust(text: str, width: int) -> str:
    return " " * (width - cell_width(text)) + text


def _clip(line: Spans, width: int) -> Spans:
    """The line, shortened with "…" if even its narrowest form is too wide."""
    text = "".join(span.text for span in line)
    return line if cell_width(text) <= width else (Span(shorten(text, width)),)
