"""Tables of weights as one SVG picture, with no script and nothing that is loaded from elsewhere.

Panels stand side by side, in rows: source words as columns, target words as rows. The picture has
its own background for light and for dark pages.
"""

import textwrap
from collections.abc import Sequence
from html import escape

import numpy as np

from seq2seq.evaluation.alignment import Alignment, display_labels
from seq2seq.rendering.labels import cell_width, printable
from seq2seq.rendering.panels import Panel, Sentence

CELL, GAP = 30, 3  # pixels: a cell with its gap, and the gap
WIDEST = 1000  # pixels; a panel that would reach further begins a new row
LETTER, BOLD_LETTER = 7.6, 9.0  # average width of a letter, in pixels
HEADING = 40  # letters that a line above a panel may have at least
SLOPE = 0.71  # sine and cosine of the column labels' 45 degrees
MARGIN, LINE = 24, 22
SMALLEST = 0.01  # lighter cells would not be seen
LEGEND_STEP = 72  # pixels from one cell of the legend to the next
STYLE = """
  .card { fill: #ffffff }
  .word { fill: #1f2328; font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, sans-serif }
  .title { font-weight: bold }
  .empty { fill: #f1f4f7 }
  .weight { fill: #1f6feb }
  .best { fill: none; stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22 }
    .word { fill: #e6edf3 }
    .empty { fill: #21262d }
    .weight { fill: #58a6ff }
    .best { stroke: #e6edf3 }
  }
"""


def svg(sentences: Sequence[Sentence]) -> str:
    """A whole SVG document. Each row's largest weight has a frame."""
    rows = _rows([panel for each in sentences for _, panel in each.panels])
    elements, below, right = [], float(MARGIN), 0.0
    for row in rows:
        above = max(_column_height(each) + LINE * len(_heading(each)) for each in row)
        x = float(MARGIN)
        for panel in row:
            elements.append(_panel(panel, x, below + above))
            x += _width(panel) + MARGIN
        right = max(right, x)
        below += above + CELL * max(len(each.alignment.target) for each in row) + MARGIN
    width = round(max(right, LEGEND_STEP * 6 + 2 * MARGIN))
    height = round(below + CELL + MARGIN / 2)
    described = "; ".join(
        f"{printable(each.source)} = {printable(text)}"
        for each in sentences
        for text, _ in each.panels[:1]
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            "<title>Weights of source words for the words of translations</title>",
            f"<desc>{escape(described)}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="card" width="{width}" height="{height}" rx="8"/>',
            *elements,
            _legend(width - MARGIN, below - MARGIN / 2),
            "</svg>\n",
        ]
    )


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels side by side, as long as they do not reach beyond WIDEST."""
    rows: list[list[Panel]] = []
    used = 0.0
    for panel in panels:
        needed = _width(panel) + MARGIN
        if rows and used + needed <= WIDEST:
            rows[-1].append(panel)
            used += needed
        else:
            rows.append([panel])
            used = MARGIN + needed
    return rows


def _legend(right: float, top: float) -> str:
    """Cells of some weights with their numbers, ending at `right`."""
    shown = (0.0, 0.25, 0.5, 0.75, 1.0)
    left = right - LEGEND_STEP * len(shown)
    elements = [
        f'<text class="word" x="{left - 8:.1f}" y="{top + CELL / 2 + 4:.1f}" '
        'text-anchor="end">weight</text>'
    ]
    for index, weight in enumerate(shown):
        x = left + LEGEND_STEP * index
        elements += [
            _cell(x, top, weight),
            f'<text class="word" x="{x + CELL + 3:.1f}" y="{top + CELL / 2 + 4:.1f}">'
            f"{weight:g}</text>",
        ]
    return "\n".join(elements)


def _cell(x: float, y: float, weight: float, *, best: bool = False) -> str:
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{CELL - GAP}" height="{CELL - GAP}" rx="4"'
    filled = f'<rect class="weight" {frame} fill-opacity="{min(weight, 1):.2f}"/>'
    marked = f'<rect class="best" {frame}/>' if best else ""
    return f'<rect class="empty" {frame}/>' + (filled if weight >= SMALLEST else "") + marked


def _panel(panel: Panel, x: float, top: float) -> str:
    """Heading, labels and cells, from `x` on; `top` is that of the first row of cells."""
    alignment = panel.alignment
    left = x + _label_width(alignment.target)
    heading = _heading(panel)
    first = top - _column_height(panel) - LINE * (len(heading) - 1)
    elements = [
        f'<text class="{style}" x="{x:.1f}" y="{first + LINE * number:.1f}">{escape(line)}</text>'
        for number, (style, line) in enumerate(heading)
    ]
    for column, word in enumerate(_labels(alignment.source)):
        x, y = left + CELL * (column + 0.5) + 3, top - 8
        elements.append(
            f'<text class="word" transform="translate({x:.1f} {y:.1f}) rotate(-45)">'
            f"{escape(word)}</text>"
        )
    weights = np.nan_to_num(alignment.weights, nan=0.0, posinf=1.0, neginf=0.0)
    for row, word in enumerate(_labels(alignment.target)):
        y = top + CELL * row
        elements.append(
            f'<text class="word" x="{left - 8:.1f}" y="{y + CELL / 2 + 4:.1f}" '
            f'text-anchor="end">{escape(word)}</text>'
        )
        largest = weights[row].max(initial=0.0)
        best = int(weights[row].argmax()) if largest > 0 else -1
        for column, weight in enumerate(weights[row].tolist()):
            x = left + CELL * column
            elements.append(_cell(x, y, max(weight, 0.0), best=column == best))
    return "\n".join(elements)


def _labels(labels: tuple[str, ...]) -> list[str]:
    return list(map(printable, display_labels(labels)))


def _heading(panel: Panel) -> list[tuple[str, str]]:
    """The lines of title and note, each with its class."""
    width = max(HEADING, int(_map_width(panel.alignment) / BOLD_LETTER))
    return [
        (style, line)
        for style, text in (("word title", panel.title), ("word", panel.note))
        for line in textwrap.wrap(printable(text) if text else "", width)
    ]


def _width(panel: Panel) -> float:
    """Pixels from the first row label or the heading to the end of the widest."""
    letter = {"word title": BOLD_LETTER, "word": LETTER}
    heading = [letter[style] * cell_width(line) for style, line in _heading(panel)]
    return max(_map_width(panel.alignment), *heading, 0)


def _map_width(alignment: Alignment) -> float:
    """Pixels from the first row label to the end of the last column label."""
    cells = CELL * len(alignment.source)
    return _label_width(alignment.target) + cells + _overhang(alignment)


def _column_height(panel: Panel) -> float:
    """Pixels that the sloping column labels take above the cells."""
    return _label_width(panel.alignment.source) * SLOPE + CELL / 2


def _label_width(words: tuple[str, ...]) -> float:
    return LETTER * max(map(cell_width, _labels(words)), default=0) + 8


def _overhang(alignment: Alignment) -> float:
    """How far a sloping column label reaches beyond the last column."""
    ends = [
        CELL * (column + 0.5 - len(alignment.source)) + LETTER * cell_width(word) * SLOPE
        for column, word in enumerate(_labels(alignment.source))
    ]
    return max(0.0, *ends) if ends else 0.0
