"""The trials of a search as a table, the best first."""

import math
from collections.abc import Sequence

from cli.runs.progress import clock_time
from cli.runs.tuning.journal import Trial
from cli.runs.tuning.space import Settings, Value
from seq2seq.training.events import METRIC_NAMES


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials first, the best before the others; of equal ones the earlier."""
    return sorted(trials, key=_rank)


def table_lines(trials: Sequence[Trial], metric: str) -> list[str]:
    """One line for each trial that has ended, with the names of the settings above them."""
    ended = ranked([trial for trial in trials if trial.end])
    names = list(trials[0].settings)
    head = ["trial", "result", METRIC_NAMES[metric], "time", *map(_short, names)]
    rows = [head, *(_row(trial, names, metric) for trial in ended)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def describe_value(value: float | None, metric: str) -> str:
    """For example "chrF 41.27" or "perplexity 4.10", whose value is minus the nats per token."""
    if value is None:
        return "no validation"
    return f"{METRIC_NAMES[metric]} {_figure(value, metric)}"


def describe_settings(settings: Settings) -> str:
    """For example "learning_rate 0.0021, dropout 0.24"."""
    return ", ".join(f"{_short(name)} {_text(value)}" for name, value in settings.items())


def _row(trial: Trial, names: Sequence[str], metric: str) -> list[str]:
    end = trial.end
    assert end
    value = "" if end.value is None else _figure(end.value, metric)
    settings = [_text(trial.settings[name]) for name in names]
    return [str(trial.number), end.result, value, clock_time(end.seconds), *settings]


def _rank(trial: Trial) -> tuple[bool, float]:
    """A key to sort trials by, the best first."""
    if trial.end is None or trial.end.value is None:
        return True, float("inf")
    return trial.end.result != "complete", -trial.end.value


def _figure(value: float, metric: str) -> str:
    return f"{math.exp(min(-value, 700)) if metric == 'perplexity' else value:.2f}"


def _short(name: str) -> str:
    return name.partition(".")[2]


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
