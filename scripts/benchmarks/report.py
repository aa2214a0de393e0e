"""The tables that a benchmark prints."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement, ratio, speed


def console() -> Console:
    """Tables are for stdout; a pipe gets them whole, and plain."""
    from sys import stdout

    return Console(width=None if stdout.isatty() else 140)


def name_of(system: str) -> str:
    return str(import_module(f"benchmarks.{system}").NAME)


def training_table(measured: Sequence[Measurement], *, caption: str) -> Table:
    table = Table(title="Training, real target tokens a second", caption=caption)
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


def quality_table(rows: Sequence[dict[str, object]], *, caption: str) -> Table:
    marks = sorted({float(str(row["minutes"])) for row in rows})
    table = Table(title="BLEU after minutes of training", caption=caption)
    table.add_column("system")
    for mark in marks:
        table.add_column(f"{mark:g} min", justify="right")
    for system in dict.fromkeys(str(row["system"]) for row in rows):
        scores = {row["minutes"]: row["bleu"] for row in rows if row["system"] == system}
        table.add_row(name_of(system), *(f"{scores[mark]:.1f}" for mark in marks))
    return table
