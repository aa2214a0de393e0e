"""The command `translate`: a filter on a pipe, a line editor on a terminal."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cli.runs.translator import Candidate, Translation, Translator

CHUNK = 512  # lines translated together, when so many are there


def translate(
    run: Annotated[Path, typer.Argument(help="A run directory, made by `train`.")],
    file: Annotated[
        Path, typer.Argument(help="Text, one sentence a line; - is standard input.")
    ] = Path("-"),
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Translate as you type.")
    ] = False,
    beam: Annotated[int | None, typer.Option(min=1, help="Hypotheses kept.  [5]")] = None,
    n_best: Annotated[int, typer.Option(min=1, help="Translations of each line.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    alignments: Annotated[
        bool, typer.Option("--alignments", help="Word alignment behind each translation.")
    ] = False,
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
    """Translate a file or standard input, line by line.

    As many lines come out as go in, and blank ones stay blank.

    With --n-best or --alignments a line has fields between " ||| ": for n-best the line's number
    (from 0), translation and score, then the alignment as source-target word pairs.
    """
    from cli.runs.translator import Translator
    from data.corpus import STDIN

    translator = Translator.load(
        run,
        checkpoint=checkpoint,
        search=search_settings(set_, beam=beam),
        tag=tag,
        threads=threads,
        device=device,
    )
    if alignments:
        translator.require_attention()
    if interactive:
        _refuse_beside_interactive(file != STDIN, json)
        from cli.terminal.prompt import converse

        converse(translator, n_best=n_best, alignments=alignments)
        return
    if file == STDIN and sys.stdin.isatty():
        from cli.terminal.console import note

        note("reading from the terminal: one sentence a line, Ctrl-D ends (see --interactive)")
    _filter(translator, file, n_best=n_best, json=json, alignments=alignments)


def search_settings(settings: list[str] | None, *, beam: int | None) -> dict[str, Any]:
    """The overrides of section `search` that a command line asks for."""
    from cli.commands.preprocess import only_section
    from cli.runs.config import parse_settings

    values = only_section(parse_settings(settings or []), "search")
    return values | ({"beam": beam} if beam is not None else {})


def _refuse_beside_interactive(has_file: bool, json: bool) -> None:
    from seq2seq.errors import ConfigError

    if has_file or json:
        raise ConfigError(
            "--interactive reads what you type and prints for you to read",
            hint="leave out FILE and --json",
        )


def _filter(
    translator: "Translator", file: Path, *, n_best: int, json: bool, alignments: bool
) -> None:
    from cli.terminal.console import warn, write_json, write_line
    from data.corpus import read_lines

    number = 0
    for lines in available_chunks(read_lines(file), size=CHUNK):
        for translation in translator.translate(lines, n_best=n_best):
            if translation.truncated:
                warn(f"line {number + 1} is longer than search.max_source_pieces and was cut")
            if json:
                write_json(as_json(translation, alignments=alignments))
            else:
                for line in as_lines(translation, number, n_best=n_best, alignments=alignments):
                    write_line(line)
            number += 1
        sys.stdout.flush()


def as_lines(
    translation: "Translation", number: int, *, n_best: int, alignments: bool
) -> list[str]:
    """The lines that a translation makes in plain output."""
    if not translation.candidates:
        return [""] if n_best == 1 else [f"{number} |||  ||| 0"]
    lines = []
    for candidate in translation.candidates:
        fields = [candidate.text]
        if n_best > 1:
            fields = [str(number), candidate.text, f"{candidate.score:.4f}"]
        if alignments:
            fields.append(_links(candidate))
        lines.append(" ||| ".join(fields))
    return lines


def as_json(translation: "Translation", *, alignments: bool) -> dict[str, Any]:
    """The object that a translation makes in JSON output."""
    from seq2seq.evaluation.alignment import merge_pieces, to_json

    candidates = []
    for candidate in translation.candidates:
        value: dict[str, Any] = {
            "text": candidate.text,
            "score": candidate.score,
            "log_probability": candidate.log_probability,
            "pieces": list(candidate.pieces),
        }
        if alignments and candidate.alignment is not None:
            value["alignment"] = to_json(merge_pieces(candidate.alignment))
            value["links"] = _links(candidate)
        candidates.append(value)
    return {
        "schema_version": 1,
        "source": translation.source,
        "translation": translation.text,
        "candidates": candidates,
        "truncated": translation.truncated,
    }


def _links(candidate: "Candidate") -> str:
    from seq2seq.evaluation.alignment import merge_pieces, pharaoh

    return pharaoh(merge_pieces(candidate.alignment)) if candidate.alignment is not None else ""


def available_chunks(lines: Iterator[str], *, size: int) -> Iterator[list[str]]:
    """Lines in chunks: as many as are there, up to `size`, without waiting for more to come.

    So a file is translated in large batches, and a program that writes one line down a pipe gets
    its answer at once.
    """
    import queue
    import threading

    waiting: queue.Queue[str | BaseException | None] = queue.Queue(maxsize=4 * size)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as error:
            waiting.put(error)  # the reader of the chunks raises it

    threading.Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        chunk: list[str] = []
        problem: BaseException | None = None
        while len(chunk) < size:
            try:
                item = waiting.get(timeout=0.02 if chunk else None)
            except queue.Empty:
                break
            if item is None or isinstance(item, BaseException):
                ended, problem = True, item
                break
            chunk.append(item)
        if chunk:
            yield chunk
        if problem is not None:
            raise problem
