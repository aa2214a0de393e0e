"""`seq2seq score`: figures for translations that exist already, whoever made them."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal.console import warn, write_json, write_line
from data.corpus import read_aligned
from seq2seq.errors import ConfigError
from seq2seq.system.figures import counted

if TYPE_CHECKING:
    from seq2seq.evaluation.quality import Metric, QualityReport


def score(
    hypotheses: Annotated[
        Path,
        typer.Argument(
            metavar="HYPOTHESES",
            help="One translation a line, plain text or gzip; - is standard input.",
        ),
    ],
    references: Annotated[
        list[Path],
        typer.Argument(metavar="REFERENCE", help="One or several files of references."),
    ],
    target_language: Annotated[
        str | None,
        typer.Option(
            "--target-language", "-t", help="Code such as de, zh or ja: chooses BLEU's tokenizer."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="BLEU's tokenizer by name: 13a, intl, zh, ja-mecab, ko-mecab, char, none."
        ),
    ] = None,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Ignore case in BLEU and chrF, as TER always does.")
    ] = False,
    confidence: Annotated[
        bool, typer.Option(help="95 % intervals by bootstrap resampling.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score translations that exist with BLEU, chrF and TER.

    The figures are sacreBLEU's. Give untouched references and translations as people would read
    them: subword pieces joined, nothing tokenised.
    """
    from seq2seq.evaluation.quality import score_corpus

    if target_language is not None:
        _check_language(target_language)
    lines, *gold = read_aligned([hypotheses, *references])
    report = score_corpus(
        lines,
        gold,
        target_language=target_language,
        tokenizer=tokenizer,
        lowercase=lowercase,
        confidence=confidence,
    )
    warn_of_doubts(report)
    if as_json:
        write_json(quality_json(report))
    else:
        show_quality(report)


def show_quality(report: QualityReport) -> None:
    """A small table for the eye, then a line a metric to be copied; nothing is ever wrapped."""
    references = counted(report.references, "reference")
    write_line(f"{counted(report.sentences, 'sentence')}, {references} each")
    for metric in report.metrics:
        better = "lower is better" if metric is report.ter else "higher is better"
        cells = [f"{metric.name:<6}", f"{metric.score:>7.2f}", _interval(metric), better]
        write_line("  ".join(cell for cell in cells if cell))
    write_line("")
    for metric in report.metrics:
        write_line(f"{metric.name}|{metric.signature} = {metric.score:.1f}{_details(metric)}")


def quality_json(report: QualityReport) -> dict[str, Any]:
    """The report as JSON values, scores unrounded; `evaluate` adds its own keys to these."""
    return {
        "schema_version": 1,
        "sentences": report.sentences,
        "references": report.references,
        "blank_hypotheses": report.blank_hypotheses,
        "bleu": asdict(report.bleu),
        "chrf": asdict(report.chrf),
        "ter": asdict(report.ter),
        "notes": list(report.notes),
    }


def warn_of_doubts(report: QualityReport) -> None:
    """On stderr, whatever makes the figures less than they seem."""
    if report.blank_hypotheses:
        warn(
            f"{report.blank_hypotheses:,} of {report.sentences:,} hypotheses are blank, "
            "and are scored as they are"
        )
    for doubt in report.notes:
        warn(doubt)


def _interval(metric: Metric) -> str:
    """As wide on both sides of the mean, but cut where the metric ends."""
    if metric.low is None or metric.high is None:
        return ""
    end = math.inf if metric.name == "TER" else 100.0
    return f"95 %: {max(metric.low, 0.0):>6.2f} to {min(metric.high, end):>6.2f}"


def _details(metric: Metric) -> str:
    if metric.name != "BLEU":
        return ""
    found, wanted = metric.details["hypothesis_length"], metric.details["reference_length"]
    precisions = metric.details["precisions"]
    assert isinstance(precisions, list) and isinstance(found, int) and isinstance(wanted, int)
    ratio = found / wanted if wanted else 0.0
    return (
        f" {'/'.join(f'{precision:.1f}' for precision in precisions)}"
        f" (BP = {metric.details['brevity_penalty']:.3f} ratio = {ratio:.3f}"
        f" hyp_len = {found} ref_len = {wanted})"
    )  # sacreBLEU's own words for them


def _check_language(code: str) -> None:
    first = code.replace("_", "-").split("-")[0]
    if not (first.isascii() and first.isalpha() and len(first) in (2, 3)):
        raise ConfigError(
            f"{code!r} is not a language code", hint="use a code such as de, zh, ja or pt-BR"
        )
