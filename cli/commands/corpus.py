"""`seq2seq corpus`: parallel corpora by name, ready for `check` and `preprocess`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import console

app = typer.Typer(
    help="Corpora by name: list them, or get one as line files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_corpora(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """List the corpora: size, languages, terms, and where each comes from."""
    from dataclasses import asdict

    from data.catalogue import ENTRIES
    from seq2seq.system.figures import megabytes

    if as_json:
        console.write_json([asdict(entry) for entry in ENTRIES])
        return
    for entry in ENTRIES:
        size = megabytes(entry.download_bytes)
        facts = {
            "what": entry.summary,
            "pairs": f"{entry.pairs:,} in train, {', '.join(entry.held_out)}",
            "languages": f"{', '.join(entry.languages)} "
            f"(default {entry.source_language} to {entry.target_language})",
            "from": f"{entry.origin} "
            + (f"(download, {size})" if entry.download_bytes else "(embedded, no download)"),
            "terms": entry.terms,
        }
        console.write_line(entry.name)
        for fact, text in facts.items():
            console.write_line(f"  {fact:<9}  {text}")
    console.note("next: seq2seq corpus get NAME DIR")


@app.command("get")
def get_corpus(
    name: Annotated[str, typer.Argument(help="A name from `seq2seq corpus list`.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new directory for the line files.")
    ],
    source_language: Annotated[
        str | None, typer.Option("--source-language", metavar="L", help="Translate from this.")
    ] = None,
    target_language: Annotated[
        str | None, typer.Option("--target-language", metavar="L", help="Translate into this.")
    ] = None,
    location: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Read the downloaded file, or the folder that holds it, instead of the network; "
            "its hash is checked all the same. For multi30k also the address of a mirror.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the description as one JSON document.")
    ] = False,
) -> None:
    """Write a corpus as train, valid and test files, one sentence a line.

    Downloads are pinned by hash and kept in the cache (SEQ2SEQ_CACHE names another place).
    """
    from data import catalogue
    from seq2seq.system.files import read_json

    direction = catalogue.choose(
        name, source_language=source_language, target_language=target_language
    )
    catalogue.refuse_occupied(directory)
    console.note(f"terms of {name}: {direction.entry.terms}")
    written = catalogue.get(direction, directory, location=location, tell=console.note)
    if as_json:
        console.write_json(read_json(directory / catalogue.DESCRIPTION))
    else:
        for file in written:
            console.write_line(f"{file.path}\t{file.lines:,} lines")
        console.write_line(str(directory / catalogue.DESCRIPTION))
    _suggest(directory, direction.source_language, direction.target_language)


def _suggest(directory: Path, source: str, target: str) -> None:
    """The commands that come next, ready to be pasted."""
    train = shlex.join(str(directory / f"train.{language}") for language in (source, target))
    store = shlex.quote(f"{directory}-store")
    valid = [shlex.quote(str(directory / f"valid.{language}")) for language in (source, target)]
    console.note(f"next: seq2seq check {train}")
    console.note(
        f"then: seq2seq preprocess {train} {store} "
        f"--valid-source {valid[0]} --valid-target {valid[1]}"
    )
