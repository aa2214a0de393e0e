"""Scores of translations: a table for people, the line that papers quote, JSON, and warnings."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cli.terminal.console import warn, write_line
from seq2seq.evaluation.quality import Metric, QualityReport
from seq2seq.system.figures import counted


def print_quality(report: QualityReport, write: Callable[[str], None] = write_line) -> None:
    """A small table, then one line for each metric with its signature; no line is wrapped."""
    references = counted(report.references, "reference")
    write(f"{counted(report.sentences, 'sentence')}, {references} each")
    for metric in report.metrics:
        better = "lower is better" if metric is report.ter else "higher is better"
        cells = [f"{metric.name:<6}", f"{metric.score:>7.2f}", _interval(metric), better]
        write("  ".join(cell for cell in cells if cell))
    write("")
    for metric in report.metrics:
        write(f"{metric.name}|{metric.signature} = {metric.score:.1f}{_bleu_details(metric)}")


def quality_json(report: QualityReport) -> dict[str, Any]:
    """The report as JSON values, with scores that are not rounded."""
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


def warn_about_scores(report: QualityReport) -> None:
    """Warn on stderr where the scores may not mean what they seem to."""
    if report.blank_hypotheses:
        warn(
            f"{report.blank_hypotheses:,} of {report.sentences:,} hypotheses are blank, "
            "and are scored as they are"
        )
    for note in report.notes:
        warn(note)


def _interval(metric: Metric) -> str:
    """The 95 % confidence interval, cut at the ends of the metric's range; "" without one."""
    if metric.low is None or metric.high is None:
        return ""
    greatest = math.inf if metric.name == "TER" else 100.0
    return f"95 %: {max(metric.low, 0.0):>6.2f} to {min(metric.high, greatest):>6.2f}"


def _bleu_details(metric: Metric) -> str:
    """BLEU's precisions, brevity penalty and lengths in sacreBLEU's format; "" for others."""
    if metric.name != "BLEU":
        return ""
    length, reference_length = (
        metric.details["hypothesis_length"],
        metric.details["reference_length"],
    )
    precisions = metric.details["precisions"]
    assert isinstance(precisions, list)
    assert isinstance(length, int) and isinstance(reference_length, int)
    ratio = length / reference_length if reference_length else 0.0
    return (
        f" {'/'.join(f'{precision:.1f}' for precision in precisions)}"
        f" (BP = {metric.details['brevity_penalty']:.3f} ratio = {ratio:.3f}"
        f" hyp_len = {length} ref_len = {reference_length})"
    )
