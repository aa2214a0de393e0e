"""A report as lines of text, with the content of the page: tables, small charts, drawings."""

import math
from collections.abc import Iterator, Sequence

from cli.runs.report.content import AlignedSentence, DifferingSentence, ReportContent
from cli.terminal.comparison_table import text_table
from cli.terminal.report.charts import charts
from cli.terminal.report.tables import (
    ReportTable,
    fact_table,
    fault_table,
    frequency_table,
    length_table,
    score_table,
    setting_table,
)
from seq2seq.evaluation.words import word_changes
from seq2seq.rendering.drawing import plain_text
from seq2seq.rendering.panels import Panel, arrange
from seq2seq.system.figures import sparkline

_MARKS = {"same": "{}", "missing": "[-{}-]", "added": "{{+{}+}}"}
"""How changed words are marked, as by `git diff --word-diff`."""


def report_lines(content: ReportContent, *, width: int) -> Iterator[str]:
    """All sections that have something to show; drawings take `width` cells."""
    yield from _table(score_table(content))
    yield from _curves(content, width)
    yield from _table(length_table(content, "bleu"))
    yield from _table(length_table(content, "chrf"))
    yield from _table(frequency_table(content))
    yield from _table(fault_table(content))
    for sentence in content.aligned:
        yield from _aligned(sentence, width)
    if content.compared:
        for each in content.differing:
            yield from _differing(each, content.compared)
    if content.settings:
        yield from _table(setting_table(content))
    yield from _facts(fact_table(content))


def _facts(table: ReportTable) -> Iterator[str]:
    yield table.title.upper()
    yield from (f"{name}: {value}" for name, value in table.rows)


def _table(table: ReportTable) -> Iterator[str]:
    yield table.title.upper()
    yield from text_table([table.head, *table.rows])
    yield from table.notes
    yield ""


def _curves(content: ReportContent, width: int) -> Iterator[str]:
    """A line for each run and chart over training: from the first value to the last."""
    names = max(len(figures.name) for figures in content.figures)
    for chart in charts(content):
        if chart.order:
            continue
        yield f"{chart.title.upper()}, over {chart.x_title}"
        series: dict[tuple[str, str], list[float]] = {}
        for row in chart.rows:
            series.setdefault((row["system"], row["series"]), []).append(row["y"])
        for (system, _), values in series.items():
            heights = [math.log(y) for y in values] if chart.is_logarithmic else values
            line = sparkline(heights, width=max(10, width - names - 24))
            yield f"{system:<{names}}  {values[0]:9.2f}  {line}  {values[-1]:.2f}"
        yield ""


def _aligned(each: AlignedSentence, width: int) -> Iterator[str]:
    yield f"ALIGNMENT OF LINE {each.line:,}"
    yield f"source     {each.source}"
    yield f"reference  {each.reference}"
    panels = [Panel(name, alignment) for name, alignment in each.alignments.items()]
    for drawing in arrange(panels, width=width):
        yield from plain_text(drawing).rstrip("\n").split("\n")
        yield ""


def _differing(each: DifferingSentence, names: Sequence[str]) -> Iterator[str]:
    width = max(len("reference"), *map(len, names))
    yield f"LINE {each.line:,}: chrF {each.chrf[0]:.0f} and {each.chrf[1]:.0f}"
    yield f"{'source':<{width}}  {each.source}"
    yield f"{'reference':<{width}}  {each.reference}"
    for name, text in zip(names, (each.first, each.second), strict=True):
        changes = word_changes(each.reference, text)
        yield f"{name:<{width}}  " + " ".join(_MARKS[c].format(words) for c, words in changes)
    yield ""
