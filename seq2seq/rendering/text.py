"""Tables of weights as lines of text of a given width; cli/terminal/drawing.py colours them.

A map has a row for each target word and a column for each source word. The styles:

    grid     two terminal cells a column
    compact  one cell a column
    half     one cell a column, two rows a line; columns are numbered
    values   three cells a column, with the weight in hundredths
    list     for each row the largest weights with bars; no map

`auto` takes the first of grid, compact and list that fits, or `half` where only that fits the
height. Widths are measured in terminal cells. No line is ever wider than `width`, and a shortened
label ends in "…". A map that was asked for and is too wide is drawn in parts. Labels that are not
plain (see `labels`) are put at the end of their lines.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike

from seq2seq.evaluation.alignment import Alignment, FloatArray, display_labels
from seq2seq.rendering.colours import shades
from seq2seq.rendering.drawing import MARK, UPPER_HALF, Drawing, Mode, Span, Spans, Style, clip
from seq2seq.rendering.labels import (
    cell_width,
    graphemes_of,
    is_plain,
    left_justified,
    numbers,
    packed,
    printable,
    right_justified,
    shorten,
    widest,
    written_downwards,
)
from seq2seq.rendering.summary import summary
from seq2seq.system.figures import counted

CAUTION = (
    "attention is not word alignment: it shows which words the decoder attended to, "
    "and recurrent decoders are often one word off"
)

_ROW_LABEL_WIDTH = 10  # cells that row labels keep, if need be by a narrower style
_COLUMN_WIDTH: dict[Mode, int] = {"grid": 2, "compact": 1, "half": 1, "values": 3}
_BAR_WIDTH = 8  # cells of a bar for weight 1
_LIST_LENGTH, _LIST_THRESHOLD = 3, 0.02  # weights listed in a row, at most and from


def draw_alignment(
    alignment: Alignment,
    *,
    width: int,
    style: Style = "auto",
    height: int | None = None,
    summarised: bool = False,
    probability: float | None = None,
    note: str | None = None,
) -> Drawing:
    """Lay out an alignment, target words as rows and source words as columns, in `width` cells.

    height: lines of the screen, for `auto`; None where it does not matter
    summarised: whether entropy, coverage and source words with little of it are put below
    probability: of a target piece, the geometric mean; named in the summary
    note: put below all of it
    """
    drawing = draw_matrix(
        display_labels(alignment.target),
        display_labels(alignment.source),
        alignment.weights,
        width=width,
        style=style,
        height=height,
    )
    lines = drawing.lines
    if summarised:
        lines += summary(alignment, width=max(1, width), probability=probability)
    return Drawing((*lines, *_note_lines(note, width)), drawing.mode)


def draw_matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    weights: ArrayLike,
    *,
    width: int,
    style: Style = "auto",
    height: int | None = None,
    note: str | None = None,
) -> Drawing:
    """Lay out any table of weights [rows, columns], such as users by films, in `width` cells.

    Each row is shaded from zero to its own largest weight. NaN and infinity are drawn as "?", in
    the style `half` as 0. The note is put below.

    height: lines of the screen, for `auto`; None where it does not matter
    """
    matrix = np.asarray(weights, np.float64).reshape(len(rows), len(columns))
    table = _Table(list(map(printable, rows)), list(map(printable, columns)), matrix)
    width = max(1, width)
    mode, reason = _choose_mode(table, width, style, height)
    lines = _draw_list(table, width) if mode == "list" else _draw_map(table, width, mode)
    if reason:
        lines += [(Span(part, quiet=True),) for part in textwrap.wrap(reason, width)]
    lines += _note_lines(note, width)
    return Drawing(tuple(clip(line, width) for line in lines), mode)


def _note_lines(note: str | None, width: int) -> list[Spans]:
    lines = textwrap.wrap(printable(note), max(1, width)) if note else []
    return [clip((Span(line, quiet=True),), max(1, width)) for line in lines]


@dataclass(frozen=True, slots=True)
class _Table:
    rows: list[str]
    columns: list[str]
    weights: FloatArray  # [rows, columns]

    @property
    def labels_at_end(self) -> bool:
        """Whether row labels go to the end of their lines, where their width does not matter."""
        return not all(map(is_plain, self.rows))

    def label_width(self, mode: Mode) -> int:
        """Cells that everything beside the cells of a map needs at least."""
        longest = min(widest(self.rows), _ROW_LABEL_WIDTH)
        if mode != "half":
            return longest + 1
        number = len(str(len(self.columns))) + 1  # on either side
        return 2 * (max(len(str(len(self.rows))), longest) + 1 + number)

    def numbered(self, mode: Mode) -> bool:
        """Whether columns are numbered, because some labels cannot be written downwards."""
        if mode == "half" or not all(map(is_plain, self.columns)):
            return True
        return any(cell_width(each) > _COLUMN_WIDTH[mode] for each in graphemes_of(self.columns))


def _choose_mode(
    table: _Table, width: int, style: Style, height: int | None
) -> tuple[Mode, str | None]:
    """The mode to draw in, and why it is none of those that were to be expected."""
    count = len(table.columns)

    def columns_in(mode: Mode) -> int:
        return max(0, width - table.label_width(mode)) // _COLUMN_WIDTH[mode]

    if style == "list":
        return "list", None
    if style != "auto":
        if columns_in(style) or not count:
            return style, None
        return "list", f"a list: no column of {style} fits in {counted(width, 'cell')}"
    if columns_in("compact") < count:
        return "list", f"a list: {counted(count, 'column')} do not fit in {width} cells"
    wide: Mode = "grid" if columns_in("grid") >= count else "compact"
    too_high = height is not None and _map_height(table, wide, width) > height
    if too_high and columns_in("half") >= count:
        return "half", "two rows a line, to fit the height of the screen; maxima are numbered"
    return wide, None


def _map_height(table: _Table, mode: Mode, width: int) -> int:
    """Lines of a map that is not drawn in parts."""
    if not table.numbered(mode):
        return len(written_downwards(table.columns)) + len(table.rows)
    names = _numbered(table.columns, range(len(table.columns)))
    return len(str(len(names))) + len(table.rows) + len(packed(names, width))


def _draw_map(table: _Table, width: int, mode: Mode) -> list[Spans]:
    """The map, in parts of as many columns as fit in the width."""
    count = len(table.columns)
    size = max(1, (width - table.label_width(mode)) // _COLUMN_WIDTH[mode])
    if count <= size:
        return _draw_part(table, range(count), width, mode)
    lines: list[Spans] = []
    for first in range(0, count, size):
        part = range(first, min(first + size, count))
        title = f"{first + 1}–{part[-1] + 1} of {count}"
        longer = f"columns {title}"
        lines.append((Span(longer if cell_width(longer) <= width else title, quiet=True),))
        lines += _draw_part(table, part, width, mode)
    return lines


def _draw_part(table: _Table, part: range, width: int, mode: Mode) -> list[Spans]:
    """Column labels written downwards, lines of cells, and a legend if needed."""
    numbered = table.numbered(mode)
    names = numbers(len(table.columns)) if numbered else table.columns
    draw = _half_lines if mode == "half" else _row_lines
    margin, cells = draw(table, part, width, mode)
    column = _COLUMN_WIDTH[mode]
    lines: list[Spans] = [
        (Span((" " * margin + "".join(_in_column(each, column) for each in row)).rstrip()),)
        for row in written_downwards([names[index] for index in part])
    ]
    lines += cells
    if numbered:
        lines += _legend(table.columns, part, width)
    return lines


def _row_lines(table: _Table, part: range, width: int, mode: Mode) -> tuple[int, list[Spans]]:
    """A line for each row, and the cells in front of the first column."""
    column = _COLUMN_WIDTH[mode]
    label_width = min(widest(table.rows), width - 1 - column * len(part))
    lines: list[Spans] = []
    for label, weights in zip(table.rows, table.weights, strict=True):
        text = shorten(label, label_width)
        cells = _cells(weights, part, column, values=mode == "values")
        if table.labels_at_end:
            lines.append((*cells, Span(f" {text}")))
        else:
            lines.append((Span(right_justified(text, label_width) + " "), *cells))
    return (0 if table.labels_at_end else label_width + 1), lines


def _half_lines(table: _Table, part: range, width: int, mode: Mode) -> tuple[int, list[Spans]]:
    """Two rows a line, with the number of each one's largest weight beside its label.

    The upper row has its label on the left, the lower one on the right.
    """
    number = len(str(len(table.columns)))
    available = (width - len(part)) // 2 - number - 2  # cells of a label
    names = numbers(len(table.rows)) if table.labels_at_end else table.rows
    label_width = min(widest(names), available)
    lines: list[Spans] = []
    for first in range(0, len(table.rows), 2):
        shown = [*shades(table.weights[first : first + 2]), np.zeros(len(table.columns))][:2]
        best = [_best(row) for row in table.weights[first : first + 2]]
        found = [
            (shorten(name, label_width), "" if index is None else str(index + 1))
            for name, index in zip(names[first : first + 2], best, strict=True)
        ]
        left = right_justified(found[0][0], label_width) + f" {found[0][1]:>{number}} "
        cells = (
            Span(UPPER_HALF * len(list(alike)), lower, upper=upper)
            for (upper, lower), alike in groupby(
                zip(*(row[part.start : part.stop].tolist() for row in shown), strict=True)
            )
        )
        right = f" {found[1][1]:<{number}} {found[1][0]}".rstrip() if len(found) > 1 else ""
        lines.append((Span(left), *cells, *((Span(right),) if right else ())))
    if table.labels_at_end:
        lines += _legend(table.rows, range(len(table.rows)), width)
    return label_width + number + 2, lines


def _in_column(text: str, column: int) -> str:
    """One grapheme padded to its column: at the left of two cells, in the middle of three."""
    text = text if column < 3 else f" {text}"
    return text + " " * (column - cell_width(text))


def _numbered(labels: Sequence[str], part: range) -> list[str]:
    return [f"{index + 1} {labels[index]}" for index in part]


def _legend(labels: Sequence[str], part: range, width: int) -> list[Spans]:
    """The labels of numbered columns: side by side, or one a line if any runs right to left."""
    return [(Span(line),) for line in packed(_numbered(labels, part), width)]


def _cells(weights: FloatArray, part: range, column: int, *, values: bool) -> list[Span]:
    """The cells of one row; adjacent cells of the same style become one span."""
    best = _best(weights)
    shown = weights[part.start : part.stop].tolist()
    shaded = shades(weights)[part.start : part.stop].tolist()
    spans = []
    for index, weight, shade in zip(part, shown, shaded, strict=True):
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


def _draw_list(table: _Table, width: int) -> list[Spans]:
    """The largest weights of each row with their columns; on one line if the labels allow it."""
    label_width = min(widest(table.rows), max(4, width // 3))
    best_width = width - (label_width + len(" ← ") + len(" 0.93 ") + _BAR_WIDTH)
    plain = all(map(is_plain, (*table.rows, *table.columns)))
    if not plain or best_width < min(widest(table.columns), 8):
        return [
            line for index in range(len(table.rows)) for line in _entry_lines(table, index, width)
        ]
    return [
        _list_line(table, index, label_width, best_width, width) for index in range(len(table.rows))
    ]


def _list_line(table: _Table, row: int, label_width: int, best_width: int, width: int) -> Spans:
    """`cat ← Katze 0.93 ▇▇▇▇▇▇▇ · die 0.04`, with as many columns as fit."""
    label = left_justified(shorten(table.rows[row], label_width), label_width)
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
