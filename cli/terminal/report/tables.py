"""The tables of a report, as cells of text, for the page and for the terminal alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cli.runs.report.content import ReportContent, SystemFigures
from cli.terminal.comparison_table import four_digits
from seq2seq.evaluation.quality import random_seed
from seq2seq.evaluation.significance import (
    SAMPLES,
    TEST_NAMES,
    TESTS,
)
from seq2seq.system.figures import percent
from seq2seq.training.events import METRIC_NAMES

METRICS = ("bleu", "chrf", "ter")


@dataclass(frozen=True)
class ReportTable:
    """A table with its heading; the first column has names, the others figures or text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def score_table(content: ReportContent) -> ReportTable:
    """BLEU, chrF and TER of each system, and the tests against the first."""
    tested = any(figures.tests for figures in content.figures)
    head = ["system", "seeds", "BLEU", "chrF", "TER"]
    if tested:
        head += [f"{name}, p ({short})" for name in ("BLEU", "chrF") for short in ("bs", "ar")]
    rows = [_score_row(figures, tested=tested) for figures in content.figures]
    return ReportTable("Scores", head, rows, list(_score_notes(content, tested=tested)))


def length_table(content: ReportContent, metric: Literal["bleu", "chrf"]) -> ReportTable:
    """A score of each bin of source lengths, with its bootstrap band."""
    name = METRIC_NAMES[metric]
    head = ["words of the source", "sentences", *(figures.name for figures in content.figures)]
    rows = [
        [
            each.label,
            f"{each.sentences:,}",
            *(_band(figures, metric, index) for figures in content.figures),
        ]
        for index, each in enumerate(content.bins)
    ]
    note = f"{name}, and the middle 95 % of it in bootstrap samples of the sentences of a bin"
    return ReportTable(f"{name} by source length", head, rows, [note])


def frequency_table(content: ReportContent) -> ReportTable:
    """F1 of words by how often they are in the training text."""
    labels = dict(
        sorted({(b.low, b.label) for figures in content.figures for b in figures.by_frequency})
    )
    head = ["occurrences", *(figures.name for figures in content.figures)]
    found = [{b.low: b for b in figures.by_frequency} for figures in content.figures]
    rows = [
        [label, *(f"{100 * each[low].f1:.1f}" if low in each else "" for each in found)]
        for low, label in labels.items()
    ]
    note = f"F1 of words, in percent, by how often they occur in {content.frequencies}"
    return ReportTable("Words by their frequency", head, rows, [note])


def fault_table(content: ReportContent) -> ReportTable:
    """Words that are repeated or dropped."""
    rows = [
        [
            figures.name,
            percent(figures.faults.repeated_share),
            ", ".join(word for word, _ in figures.faults.most_repeated[:5]),
            percent(figures.faults.dropped_share),
            ", ".join(word for word, _ in figures.faults.most_dropped[:5]),
        ]
        for figures in content.figures
    ]
    head = ["system", "repeated", "most often", "dropped", "most often"]
    notes = [
        "repeated: words of a translation that it has again, and more often than the reference; "
        "dropped: words of a reference that its translation lacks"
    ]
    return ReportTable("Repeated and dropped words", head, rows, notes)


def setting_table(content: ReportContent) -> ReportTable:
    """Settings that differ between systems."""
    head = ["setting", *(figures.name for figures in content.figures)]
    rows = [[name, *values] for name, values in content.settings.items()]
    return ReportTable("Settings that differ", head, rows)


def fact_table(content: ReportContent) -> ReportTable:
    """Signatures, versions, hardware and commands."""
    return ReportTable("How it was made", ["", ""], [list(fact) for fact in content.facts.items()])


def _score_row(figures: SystemFigures, *, tested: bool) -> list[str]:
    row = [figures.name, str(len(figures.quality)), *(_score(figures, m) for m in METRICS)]
    if tested:
        for index in range(2):
            for test in TESTS:
                scores = figures.tests.get(test)
                row.append(four_digits(scores[index].p_value) if scores else "")
    return row


def _score(figures: SystemFigures, metric: str) -> str:
    deviation = figures.deviation(metric)
    return f"{figures.mean(metric):.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def _score_notes(content: ReportContent, *, tested: bool) -> Iterator[str]:
    if any(len(figures.quality) > 1 for figures in content.figures):
        yield "mean ± standard deviation over seeds"
    if not tested:
        return
    joined = any(len(figures.quality) > 1 for figures in content.figures)
    how = ", translations of all seeds joined (Clark et al., 2011)" if joined else ""
    for test in TESTS:
        short = "bs" if test == "bootstrap" else "ar"
        yield (
            f"p ({short}): against {content.figures[0].name}, {TEST_NAMES[test]}{how}; "
            f"{SAMPLES[test]:,} samples, seed {random_seed()}, by sacreBLEU"
        )


def _band(figures: SystemFigures, metric: str, index: int) -> str:
    score = figures.by_length[metric][index]
    return f"{score.score:.1f} ({score.low:.1f}–{score.high:.1f})"
