"""A drawing as a value: lines of text, with a shade for each cell of a map."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from seq2seq.rendering.labels import cell_width, shorten

MARK = "•"
"""Marks the largest weight of a row, so that colour is never the only sign of it."""
UPPER_HALF = "▀"
"""A cell of two weights: its upper half has the text's colour, its lower half the background's."""

_GLYPH_SHADES = (0.15, 0.4, 0.7)  # the lowest shades drawn as ░, ▒ and ▓
_HALF_SHADE = 0.7  # the lowest one at which half a cell is filled

Mode: TypeAlias = Literal["grid", "compact", "half", "values", "list"]
Style: TypeAlias = Literal["auto"] | Mode


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style."""

    text: str
    shade: float | None = None
    """How strongly to shade the background, from 0 to 1; None for text outside the map."""
    strong: bool = False
    """Part of the largest weight of its row."""
    upper: float | None = None
    """The shade of the upper half of `UPPER_HALF`, whose lower half has `shade`."""
    quiet: bool = False
    """An addition, which is not to be noticed before the rest."""


Spans: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A table of weights, laid out as lines of styled text."""

    lines: tuple[Spans, ...]
    mode: Mode

    @property
    def width(self) -> int:
        """Terminal cells of its widest line."""
        return max(map(line_width, self.lines), default=0)


def plain_text(drawing: Drawing) -> str:
    """The drawing without colours, shaded by ` ░▒▓█`; every line ends in "\\n"."""
    return "".join("".join(map(glyphs, line)).rstrip() + "\n" for line in drawing.lines)


def glyphs(span: Span) -> str:
    """The text of a span without colours; only the largest weight of a row is drawn as █."""
    if span.upper is not None and span.shade is not None:
        filled = (span.upper >= _HALF_SHADE) + 2 * (span.shade >= _HALF_SHADE)
        return " ▀▄█"[filled] * len(span.text)
    if span.shade is None or span.text.strip(f" {MARK}"):
        return span.text
    if span.strong:
        return "█" * len(span.text)
    level = sum(span.shade >= lowest for lowest in _GLYPH_SHADES)
    return " ░▒▓"[level] * len(span.text)


def line_width(line: Spans) -> int:
    """Terminal cells of a line."""
    return cell_width("".join(span.text for span in line))


def clip(line: Spans, width: int) -> Spans:
    """The line, shortened with "…" if even its narrowest form is too wide."""
    if line_width(line) <= width:
        return line
    return (Span(shorten("".join(span.text for span in line), width), quiet=line[0].quiet),)


def beside(drawings: list[Drawing], titles: list[str], *, gap: int = 3) -> Drawing:
    """Drawings side by side, each below its title. The mode is that of the first.

    No line of a drawing may end in a label that runs from right to left.
    """
    columns = [
        [(Span(title, strong=True),), *drawing.lines]
        for drawing, title in zip(drawings, titles, strict=True)
    ]
    widths = [max(map(line_width, column)) for column in columns]
    lines = []
    for index in range(max(map(len, columns))):
        line: list[Span] = []
        for column, width in zip(columns, widths, strict=True):
            found = column[index] if index < len(column) else ()
            line += [*found, Span(" " * (width - line_width(found) + gap))]
        lines.append(tuple(line[:-1]))
    return Drawing(tuple(lines), drawings[0].mode)
