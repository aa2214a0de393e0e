"""`seq2seq evaluate`: translate a test set and score the translations."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, write_json
from cli.terminal.quality import print_quality, quality_json, warn_about_scores
from data.corpus import display_name, read_aligned
from seq2seq.evaluation.quality import score_corpus

ReferencesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="REFERENCE",
        help="Reference translations, line by line, in one or several files; text as people "
        "read it, not tokenised.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the translations to this file."),
]


def evaluate(
    run: options.Run,
    source: options.SourceText,
    references: ReferencesArgument,
    beam: options.Beam = None,
    output: OutputOption = None,
    json: options.JsonOutput = False,
    target_language: options.ScoredLanguage = None,
    lowercase: options.Lowercase = False,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Translate a test set and score it with BLEU, chrF and TER.

    The scores are sacreBLEU's. The target language is that of the run unless --target-language
    names another one.
    """
    from cli.runs import config, directory, translator
    from cli.runs.output import refuse_unwritable, write_lines
    from cli.terminal.source_report import SourceReport
    from cli.terminal.translations import translate_with_progress

    opened = directory.RunDirectory.open(run)
    sources, *reference_texts = read_aligned([source, *references])
    if output is not None:
        refuse_unwritable(output)
    model = translator.Translator.load(
        run,
        checkpoint=checkpoint,
        search=config.search_settings(set_, beam=beam, note=note),
        tag=tag,
        threads=threads,
        device=device,
    )
    report_on_sources = SourceReport(model, display_name(source))
    hypotheses, seconds = translate_with_progress(model, sources, report_on_sources)
    if output is not None:
        write_lines(output, hypotheses)
    report = score_corpus(
        hypotheses,
        reference_texts,
        target_language=target_language or opened.languages[1],
        lowercase=lowercase,
        confidence=True,
    )
    report_on_sources.warn()
    warn_about_scores(report)
    if json:
        write_json(
            quality_json(report)
            | {"sources": report_on_sources.as_json()}
            | {"run": str(run), **model.provenance, "seconds": round(seconds, 3)}
        )
        return
    print_quality(report)
    note(f"{len(sources):,} sentences in {seconds:.1f} s, beam {model.search.beam}")
