"""The tables that a benchmark prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.job import Job
from benchmarks.measurement import Measurement, ratio, speed


def show_training(
    measured: Sequence[Measurement], notes: Sequence[str], limit: dict[str, Any], job: Job
) -> None:
    """The table, how near ours is to its products alone, and all that a reader must know."""
    console, batch = _console(), limit["mean_batch"]
    console.print(training_table(measured))
    _lines(
        console,
        f"order {job.order}, {job.pairs:,} pairs, {job.threads} threads, ours in {job.precision} "
        f"with batches of {job.batch_tokens:,} padded tokens, peers in float32",
        f"matrix products alone: {limit['milliseconds_an_update']:.0f} ms for an update of "
        f"{batch['sentences']} sentences of {batch['source']} source and {batch['target']} target "
        f"tokens, {limit['tokens_per_second']:,.0f} target tokens/s; ours reaches "
        f"{100 * limit['share_reached']:.0f} % of that",
        f"load average before each run: {', '.join(f'{m.load:.2f}' for m in measured)}",
        *notes,
    )


def show_quality(rows: Sequence[dict[str, Any]], job: Job, *, recipe: str) -> None:
    console = _console()
    console.print(quality_table(rows))
    _lines(
        console,
        f"{job.pairs:,} pairs, {job.threads} threads; ours: recipe {recipe} in {job.precision}, a "
        "run of its own for each mark, since its learning rate decays towards the end; peers: one "
        "run, their rates halve when perplexity stalls",
        f"BLEU {rows[0]['signature']}",
    )


def _lines(console: Console, *lines: str) -> None:
    about = ", ".join(f"{name} {value}" for name, value in machine.describe().items())
    for line in (*lines, about):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _console() -> Console:
    """A pipe gets tables whole."""
    return Console(width=None if sys.stdout.isatty() else 140)


def name_of(system: str) -> str:
    return str(import_module(f"benchmarks.{system}").NAME)


def training_table(measured: Sequence[Measurement]) -> Table:
    table = Table(title="Training, real target tokens a second")
    table.add_column("system")
    for heading in (
        "parameters", "sentences\na batch", "target tokens\na batch", "padding",
        "target tokens/s\nmedian", "min to max", "ours / system\nmedian", "min to max",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for system in dict.fromkeys(m.system for m in measured):
        table.add_row(*_row(measured, system))
    return table


def _row(measured: Sequence[Measurement], system: str) -> list[str]:
    first = next(m for m in measured if m.system == system)
    inside, found, over = first.inside, speed(measured, system), ratio(measured, "ours", system)
    padding = 1 - inside.target_tokens / inside.padded_target_tokens
    return [
        name_of(system),
        f"{first.parameters / 1e6:.2f} M",
        f"{inside.sentences / inside.updates:.1f}",
        f"{inside.target_tokens / inside.updates:,.0f}",
        f"{100 * padding:.0f} %",
        f"{found.median:,.0f}",
        f"{found.least:,.0f} to {found.most:,.0f}",
        f"{over.median:.2f}",
        f"{over.least:.2f} to {over.most:.2f}",
    ]


def quality_table(rows: Sequence[dict[str, Any]]) -> Table:
    marks = sorted({row["minutes"] for row in rows})
    table = Table(title="BLEU after minutes of training")
    table.add_column("system")
    for mark in marks:
        table.add_column(f"{mark:g} min", justify="right")
    for system in dict.fromkeys(row["system"] for row in rows):
        scores = {row["minutes"]: row["bleu"] for row in rows if row["system"] == system}
        table.add_row(name_of(system), *(f"{scores[mark]:.1f}" for mark in marks))
    return table
