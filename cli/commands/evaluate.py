"""The command `evaluate`: translate a test set and score it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cli.runs.translator import Translator
    from seq2seq.evaluation.quality import QualityReport


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run directory, made by `train`.")],
    source: Annotated[Path, typer.Argument(help="Text to translate, one sentence a line.")],
    references: Annotated[
        list[Path],
        typer.Argument(metavar="REFERENCE...", help="Untouched reference text, one or several."),
    ],
    beam: Annotated[int | None, typer.Option(min=1, help="Hypotheses kept.  [5]")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the translations here.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    target_language: Annotated[
        str | None, typer.Option(help="Chooses BLEU's tokenizer.  [the run's target language]")
    ] = None,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Ignore case.")] = False,
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
    """Translate a test set and score it with BLEU, chrF and TER.

    References are untouched text, one or several files, line by line beside SOURCE.
    """
    from cli.commands.score import show_quality, warn_of_doubts
    from cli.commands.translate import search_settings
    from cli.runs.directory import RunDirectory
    from cli.runs.translator import Translator
    from cli.terminal.console import note, write_json
    from data.corpus import read_aligned
    from seq2seq.evaluation.quality import score_corpus

    opened = RunDirectory.open(run)
    lines, *gold = read_aligned([source, *references])  # unequal counts end it here
    if output is not None:
        _refuse_unwritable(output)
    translator = Translator.load(
        run,
        checkpoint=checkpoint,
        search=search_settings(set_, beam=beam),
        tag=tag,
        threads=threads,
        device=device,
    )
    hypotheses, seconds = translate_all(translator, lines)
    if output is not None:
        write_hypotheses(output, hypotheses)
    report = score_corpus(
        hypotheses,
        gold,
        target_language=target_language or opened.languages[1],
        lowercase=lowercase,
        confidence=True,
    )
    warn_of_doubts(report)
    if json:
        write_json(_as_json(report, opened, translator, seconds))
        return
    show_quality(report)
    note(f"{len(lines):,} sentences in {seconds:.1f} s, beam {translator.search.beam}")


def translate_all(translator: "Translator", lines: list[str]) -> tuple[list[str], float]:
    """Best translations, with a progress bar, and the seconds it took."""
    import time

    from cli.terminal.console import progress, warn

    began, texts, size = time.monotonic(), list[str](), 4 * translator.search.batch_sentences
    with progress() as bar:
        task = bar.add_task("translating", total=len(lines))
        for begin in range(0, len(lines), size):
            for translation in translator.translate(lines[begin : begin + size]):
                texts.append(translation.text)
                if translation.truncated:
                    warn(f"line {len(texts)} is longer than search.max_source_pieces and was cut")
            bar.update(task, completed=len(texts))
    return texts, time.monotonic() - began


def _refuse_unwritable(path: Path) -> None:
    """Say before hours of translating that its result would have no place."""
    import os

    from seq2seq.errors import ResourceError

    place = path if path.exists() else path.parent
    if path.is_dir() or not os.access(place, os.W_OK):
        raise ResourceError(
            f"{path} cannot be written", hint="name a file in a folder that exists and is yours"
        )


def write_hypotheses(path: Path, hypotheses: list[str]) -> None:
    from seq2seq.errors import ResourceError
    from seq2seq.system.files import replacing

    try:
        if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout
            path.write_text("".join(f"{text}\n" for text in hypotheses), encoding="utf-8")
            return
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{text}\n" for text in hypotheses)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written: {error.strerror}", hint="choose a file in a folder of yours"
        ) from error


def _as_json(
    report: "QualityReport",
    run: Any,
    translator: "Translator",
    seconds: float,
) -> dict[str, Any]:
    from cli.commands.score import quality_json
    from seq2seq.checkpoints.checkpoint import MODEL

    checkpoint = translator.checkpoint
    assert checkpoint is not None
    return quality_json(report) | {
        "run": str(run.path),
        "checkpoint": checkpoint.path.name,
        "model_sha256": checkpoint.hashes[MODEL],
        "search": translator.search.model_dump(),
        "seconds": round(seconds, 3),
    }
