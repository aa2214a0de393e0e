"""`seq2seq corpus`: parallel corpora by name, ready for `check` and `preprocess`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, write_json, write_line
from seq2seq.system.figures import megabytes
from seq2seq.system.files import read_json
from seq2seq.system.shell import command

app = typer.Typer(
    help="List corpora by name, or write one as text files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_corpora(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, an object for each corpus.")
    ] = False,
) -> None:
    """List the corpora, with languages, size and terms of use."""
    from data import catalogue

    if as_json:
        write_json([entry.as_json() for entry in catalogue.ENTRIES])
        return
    for entry in catalogue.ENTRIES:
        size = megabytes(entry.download_bytes)
        lines = {
            "what": entry.summary,
            "pairs": f"{entry.pairs:,} in train, {', '.join(entry.held_out)}",
            "languages": f"{', '.join(entry.languages)} "
            f"(default {entry.source_language} to {entry.target_language})",
            "from": f"{entry.origin} "
            + (f"(download, {size})" if entry.download_bytes else "(embedded, no download)"),
            "terms": entry.terms,
        }
        write_line(entry.name)
        for label, text in lines.items():
            write_line(f"  {label:<9}  {text}")
    note("next: seq2seq corpus get NAME DIR")


@app.command("get")
def get_corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `seq2seq corpus list`.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the files.")],
    source_language: options.CorpusSourceLanguage = None,
    target_language: options.CorpusTargetLanguage = None,
    location: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Read this downloaded file, or this folder that contains it, instead of "
            "downloading; its hash is checked as well. For multi30k also the address of a mirror.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the description of the corpus as one JSON object.")
    ] = False,
) -> None:
    """Write a corpus as text files, one sentence per line.

    There are files for training, validation and test. Downloaded files are checked against known
    hashes and kept in a cache folder, which the environment variable SEQ2SEQ_CACHE may name.
    """
    from data import catalogue

    direction = catalogue.choose(
        name, source_language=source_language, target_language=target_language
    )
    catalogue.refuse_occupied(directory)
    note(f"terms of {name}: {direction.entry.terms}")
    written = catalogue.get(direction, directory, location=location, notify=note)
    if as_json:
        write_json(read_json(directory / catalogue.DESCRIPTION))
    else:
        for file in written:
            write_line(f"{file.path}\t{file.lines:,} lines")
        write_line(str(directory / catalogue.DESCRIPTION))
    _suggest_next(directory, direction.source_language, direction.target_language)


def _suggest_next(directory: Path, source: str, target: str) -> None:
    """Print the commands that come next, ready to be pasted."""
    train = [directory / f"train.{language}" for language in (source, target)]
    valid = [directory / f"valid.{language}" for language in (source, target)]
    options_ = ("--valid-source", valid[0], "--valid-target", valid[1])
    note("next: " + command("check", *train))
    note("then: " + command("preprocess", *train, Path(f"{directory}-store"), *options_))
