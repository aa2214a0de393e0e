"""The command `align`: where each word of a translation looked, as a table, Pharaoh or JSON."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.runs.translator import Translation, Translator


class Format(StrEnum):
    """How alignments are written."""

    TABLE = "table"
    PHARAOH = "pharaoh"
    JSON = "json"


def align(
    run: Annotated[Path, typer.Argument(help="A run directory, made by `train`.")],
    source: Annotated[Path, typer.Argument(help="Text, one sentence a line; - is stdin.")],
    target: Annotated[
        Path | None, typer.Argument(help="Given translations; left out, the model translates.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="A drawing, i-j word links, or JSON lines.")
    ] = Format.TABLE,
    pieces: Annotated[bool, typer.Option("--pieces", help="Show pieces, not words.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Weights in hundredths.")] = False,
    width: Annotated[int | None, typer.Option(min=1, help="Columns.  [the terminal's]")] = None,
    head: Annotated[
        int | None, typer.Option(min=1, help="One head of several, from 1.  [mean of all]")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=1, help="Hypotheses kept.  [5]")] = None,
    tag: Annotated[
        str | None, typer.Option(help="Tag of the sources.  [the main corpus's]")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="best, last, or its folder's name.")] = "best",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="search.NAME=VALUE", help="Any setting.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads torch uses.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Show the attention between source and translation.

    Pieces are merged to words unless --pieces. The sentence end is shown as ⏎. Pharaoh lines link
    every target word to the source word it looked at most; as many lines come out as go in.
    """
    from cli.commands.translate import search_settings
    from cli.runs.translator import Translator
    from cli.terminal.console import note
    from seq2seq.rendering.text import CAUTION

    translator = Translator.load(
        run,
        checkpoint=checkpoint,
        search=search_settings(set_, beam=beam),
        tag=tag,
        threads=threads,
        device=device,
    )
    translator.require_attention(head)
    translations = _translations(translator, source, target, head=head)
    for number, translation in enumerate(translations, start=1):
        _write(translation, number, format_, pieces=pieces, values=values, width=width)
    if format_ is Format.TABLE:
        note(CAUTION)


def _translations(
    translator: "Translator", source: Path, target: Path | None, *, head: int | None
) -> Iterator["Translation"]:
    from cli.commands.translate import CHUNK, available_chunks
    from data.corpus import read_lines, read_pairs, rereadable, survey_pair

    if target is None:
        for lines in available_chunks(read_lines(source), size=CHUNK):
            yield from translator.translate(lines, head=head)
        return
    with rereadable(source) as readable:
        survey_pair(readable, target)  # unequal counts are refused before anything is written
        for pair in read_pairs(readable, target):
            yield translator.force(*pair, head=head)


def _write(
    translation: "Translation",
    number: int,
    format_: Format,
    *,
    pieces: bool,
    values: bool,
    width: int | None,
) -> None:
    from cli.terminal.console import stdout_console, warn, write_json, write_line
    from cli.terminal.drawing import draw
    from seq2seq.evaluation.alignment import merge_pieces, pharaoh, to_json
    from seq2seq.rendering.text import draw_alignment

    if translation.truncated:
        warn(f"line {number} is longer than search.max_source_pieces and was cut")
    alignment = translation.candidates[0].alignment if translation.candidates else None
    if alignment is not None and not pieces:
        alignment = merge_pieces(alignment)
    if format_ is Format.PHARAOH:
        write_line(pharaoh(alignment) if alignment else "")
    elif format_ is Format.JSON:
        value = {"schema_version": 1, "source": translation.source, "target": translation.text}
        write_json(value | {"alignment": to_json(alignment) if alignment else None})
    elif alignment is not None:
        console = stdout_console()
        write_line(f"{number}  {translation.source}")
        write_line(f"{' ' * len(str(number))}  {translation.text}")
        draw(draw_alignment(alignment, width=width or console.width, values=values), console)
        write_line("")
