"""Alignments of translations, drawn for the terminal or written as Pharaoh links or JSON."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cli.runs.translator import Translation, Translator, available_chunks
from cli.terminal.console import note, write_json, write_line
from cli.terminal.drawing import Theme, draw, has_shades
from cli.terminal.screen import stdout_console
from cli.terminal.translations import warn_if_truncated
from data.corpus import read_lines, read_pairs, survey_pair
from data.inputs import rereadable
from seq2seq.evaluation.alignment import Alignment, merge_pieces, pharaoh, to_json
from seq2seq.rendering.drawing import Style
from seq2seq.rendering.text import CAUTION, draw_alignment

LONGEST_SHOWN = 1000  # characters of a line above a drawing, on a terminal

__all__ = ["CAUTION", "aligned_translations", "draw_on_terminal", "write_alignment"]


def aligned_translations(
    translator: Translator, source: Path, target: Path | None, *, head: int | None
) -> Iterator[Translation]:
    """The lines of SOURCE with the model's translations, or with those of TARGET if it is given."""
    if target is None:
        for lines in available_chunks(read_lines(source)):
            yield from translator.translate(lines, head=head)
        return
    with rereadable(source, target, notify=note):
        survey_pair(source, target)  # unequal counts are refused before anything is written
        for pair in read_pairs(source, target):
            yield translator.align(*pair, head=head)


def write_alignment(
    translation: Translation,
    number: int,
    form: Literal["table", "pharaoh", "json"],
    *,
    pieces: bool,
    width: int | None,
    style: Style,
    theme: Theme,
    threshold: float | None = None,
) -> None:
    """Write the alignment of one translation to stdout; `number` counts lines from 1."""
    warn_if_truncated(translation, line=number)
    alignment = translation.candidates[0].alignment if translation.candidates else None
    if alignment is not None and not pieces:
        alignment = merge_pieces(alignment)
    if form == "pharaoh":
        write_line(pharaoh(alignment, threshold=threshold) if alignment else "")
    elif form == "json":
        value = {"schema_version": 1, "source": translation.source, "target": translation.text}
        write_json(value | {"alignment": to_json(alignment) if alignment else None})
    elif alignment is not None:
        write_line(f"{number}  {_shown(translation.source)}")
        write_line(f"{' ' * len(str(number))}  {_shown(translation.text)}")
        probability = translation.candidates[0].piece_probability
        draw_on_terminal(alignment, width=width, style=style, theme=theme, probability=probability)
        write_line("")


def _shown(text: str) -> str:
    """Text above a drawing, which is cut on a terminal where it would fill the screen."""
    if len(text) <= LONGEST_SHOWN or not sys.stdout.isatty():
        return text
    return f"{text[:LONGEST_SHOWN]}… ({len(text):,} characters, cut here)"


def draw_on_terminal(
    alignment: Alignment,
    *,
    width: int | None = None,
    style: Style = "auto",
    theme: Theme = "auto",
    probability: float | None = None,
    caution: bool = False,
) -> None:
    """Draw attention weights on stdout, as wide as the terminal unless a width is given."""
    console = stdout_console()
    drawing = draw_alignment(
        alignment,
        width=width or console.width,
        style=style,
        height=console.height if console.is_terminal and has_shades(console) else None,
        summarised=True,
        probability=probability,
        note=CAUTION if caution else None,
    )
    draw(drawing, console, theme=theme)
