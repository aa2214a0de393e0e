"""Measuring how fast a run translates, with a progress bar; the table of the results."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from cli.runs.bench import BenchResult, BenchSetting, measure
from cli.runs.translator import Translator
from cli.terminal.console import write_line
from cli.terminal.screen import progress
from seq2seq.system.figures import gibibytes

COLUMNS = (
    "beam", "precision", "shortlist", "sentences/s", "least", "most", "tokens/s",
    "p50 ms", "p95 ms", "peak memory",
)  # fmt: skip


def measure_with_progress(
    load: Callable[[dict[str, Any]], Translator],
    settings: Sequence[BenchSetting],
    sentences: Sequence[str],
    *,
    repeats: int,
) -> list[BenchResult]:
    """The result of each setting, in order."""
    results: dict[BenchSetting, BenchResult] = {}
    with progress() as bar:
        task = bar.add_task("measuring", total=repeats * len(settings))
        for result in measure(load, settings, sentences, repeats=repeats):
            results[result.setting] = result
            bar.advance(task)
    return list(results.values())


def print_bench(title: str, results: Sequence[BenchResult]) -> None:
    """A line for each setting, never wrapped: speeds are medians, with the least and the most."""
    rows = [list(COLUMNS), *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    write_line(title)
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        write_line("  ".join(cells))


def _cells(result: BenchResult) -> list[str]:
    setting, speeds = result.setting, result.sentences_per_second
    return [
        str(setting.beam),
        setting.precision,
        str(setting.shortlist or ""),
        *(f"{each:.1f}" for each in (statistics.median(speeds), min(speeds), max(speeds))),
        f"{statistics.median(result.tokens_per_second):,.0f}",
        *(f"{1000 * result.latency(percent):.0f}" for percent in (50, 95)),
        "" if result.peak_memory is None else gibibytes(result.peak_memory),
    ]
