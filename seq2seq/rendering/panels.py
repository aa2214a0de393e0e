"""Several tables of weights of one sentence, side by side where they fit: heads, runs, updates."""

from collections.abc import Sequence
from dataclasses import dataclass

from seq2seq.evaluation.alignment import Alignment
from seq2seq.rendering.drawing import Drawing, Style, beside
from seq2seq.rendering.labels import is_plain, printable, shorten
from seq2seq.rendering.text import draw_alignment

_GAP = 3  # cells between two panels
_SUMMARY_WIDTH = 32  # cells that what stands below a panel gets at least


@dataclass(frozen=True, slots=True)
class Panel:
    """A table of weights with its title, and what stands below it."""

    title: str
    alignment: Alignment
    probability: float | None = None  # of a target piece
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """The panels of one line of text, for a page or a picture."""

    number: int  # of the line, from 1
    source: str
    panels: tuple[tuple[str, Panel], ...]  # each with its target text


def arrange(
    panels: Sequence[Panel], *, width: int, style: Style = "auto", height: int | None = None
) -> list[Drawing]:
    """Drawings from top to bottom; each has as many panels side by side as fit in `width` cells.

    `auto` takes `compact` where more panels then stand side by side. Labels that are not plain
    stand at the end of lines, so their panels stand alone.

    height: lines of the screen, for a single panel
    """
    if len(panels) == 1:
        return [_titled([_draw(panels[0], width, style, height)], panels, width)]
    if not all(map(_is_plain, panels)):
        return [_titled([_draw(each, width, style)], [each], width) for each in panels]
    rows = _packed([_narrow(each, width, style) for each in panels], width)
    if style == "auto":
        compact = _packed([_narrow(each, width, "compact") for each in panels], width)
        rows = min(rows, compact, key=len)
    drawings, first = [], 0
    for row in rows:
        drawings.append(_titled(row, panels[first : first + len(row)], width))
        first += len(row)
    return drawings


def _is_plain(panel: Panel) -> bool:
    labels = (*panel.alignment.target, *panel.alignment.source, panel.title)
    return all(map(is_plain, map(printable, labels)))


def _draw(panel: Panel, width: int, style: Style, height: int | None = None) -> Drawing:
    return draw_alignment(
        panel.alignment,
        width=width,
        style=style,
        height=height,
        summarised=True,
        probability=panel.probability,
        note=panel.note,
    )


def _narrow(panel: Panel, width: int, style: Style) -> Drawing:
    """The panel, with what stands below it in no more cells than the map or a short line needs."""
    map_ = draw_alignment(panel.alignment, width=width, style=style)
    needed = min(width, max(map_.width, _SUMMARY_WIDTH))
    return _draw(panel, needed, map_.mode)


def _packed(drawings: Sequence[Drawing], width: int) -> list[list[Drawing]]:
    """Rows of drawings that stand side by side."""
    rows: list[list[Drawing]] = []
    used = 0
    for drawing in drawings:
        if rows and used + _GAP + drawing.width <= width:
            rows[-1].append(drawing)
            used += _GAP + drawing.width
        else:
            rows.append([drawing])
            used = drawing.width
    return rows


def _titled(drawings: list[Drawing], panels: Sequence[Panel], width: int) -> Drawing:
    """Drawings side by side below their titles; one without a title as it is."""
    if len(drawings) == 1 and not panels[0].title:
        return drawings[0]
    titles = [
        shorten(printable(panel.title), drawing.width if len(drawings) > 1 else width)
        for panel, drawing in zip(panels, drawings, strict=True)
    ]
    return beside(drawings, titles, gap=_GAP)
