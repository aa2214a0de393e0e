"""`seq2seq evaluate`: translate a test set and score the translations."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note, write_json, write_line
from cli.terminal.quality import print_quality, quality_json, warn_about_scores
from data.corpus import read_aligned
from data.inputs import display_name
from seq2seq.errors import ConfigError
from seq2seq.evaluation.quality import score_corpus
from seq2seq.system.figures import counted

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
    typer.Option(
        metavar="FILE",
        help="Also write the translations to this file; - is standard output, and the scores then "
        "go to standard error.",
    ),
]
ShowOption = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Also draw the attention of N translations, spread over the test set, beside their "
        "references.",
    ),
]


def evaluate(
    run: options.Run,
    source: options.SourceText,
    references: ReferencesArgument,
    beam: options.Beam = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    json: options.JsonOutput = False,
    show: ShowOption = 0,
    style: options.Style = options.StyleChoice.AUTO,
    theme: options.Theme = options.ThemeChoice.AUTO,
    width: options.Width = None,
    target_language: options.ScoredLanguage = None,
    lowercase: options.Lowercase = False,
    with_: options.With = None,
    mbr: options.MinimumRisk = None,
    rescore_with: options.RescoreWith = None,
    precision: options.Precision = None,
    shortlist: options.Shortlist = None,
    workers: options.Workers = 1,
    tag: options.Tag = None,
    checkpoint: options.Checkpoint = "best",
    set_: options.SearchSettings = None,
    threads: options.Threads = None,
    device: options.Device = "auto",
) -> None:
    """Translate a test set and score it: BLEU, chrF, TER.

    The scores are sacreBLEU's. The target language is that of the run unless --target-language
    names another one.
    """
    from cli.runs import config, translator
    from cli.runs.output import is_standard_output, refuse_output, write_lines
    from cli.terminal import pictures
    from cli.terminal.source_report import SourceReport
    from cli.terminal.translations import translate_with_progress

    origin = translator.Origin(
        run,
        checkpoint=checkpoint,
        search=config.search_settings(
            set_, run=run, mbr=mbr, beam=beam, precision=precision, shortlist=shortlist, note=note
        ),
        tag=tag,
        device=device,
        threads=threads,
        with_=with_ or (),
        rescore_with=rescore_with,
    )
    to_stdout = output is not None and is_standard_output(output)
    _refuse_mixed_output(translations=to_stdout, json=json, drawings=show > 0)
    if output is not None:
        inputs = [*origin.files, source, *references]
        refuse_output(output, inputs=inputs, overwrite=overwrite)
    model = origin.load(note)
    sources, *reference_texts = read_aligned([source, *references])
    report_on_sources = SourceReport(model, display_name(source))
    hypotheses, seconds = translate_with_progress(
        model, sources, report_on_sources, workers=workers
    )
    if to_stdout:
        for hypothesis in hypotheses:
            write_line(hypothesis)
    elif output is not None:
        write_lines(output, hypotheses)
    report = score_corpus(
        hypotheses,
        reference_texts,
        target_language=target_language or model.target_language,
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
    print_quality(report, note if to_stdout else write_line)
    if show:
        layout = pictures.Layout(style.value, theme.value, width)
        pictures.show_sample(model, sources, reference_texts[0], show, layout)
    products = "" if model.precision == "float32" else f", {model.precision} products"
    sentences = counted(len(sources), "sentence")
    note(f"{sentences} in {seconds:.1f} s, beam {model.search.beam}{products}")


def _refuse_mixed_output(*, translations: bool, json: bool, drawings: bool) -> None:
    """Raises ConfigError where two kinds of results would go to standard output."""
    if drawings and (json or translations):
        raise ConfigError(
            "--show draws on standard output, where something else would go as well",
            hint="leave out --json and --output -",
        )
    if json and translations:
        raise ConfigError(
            "--json and the translations would both go to standard output",
            hint="name a file with --output",
        )
