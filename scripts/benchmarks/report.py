"""The tables that a benchmark prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import commits, decoding, latency, machine
from benchmarks.job import Job
from benchmarks.measurement import Measurement, Spread, ratio, speed, systems
from seq2seq.system.figures import counted, percentile


def show_training(
    measured: Sequence[Measurement],
    notes: Sequence[str],
    limits: dict[str, dict[str, Any]],
    job: Job,
) -> None:
    """Print the table, how near ours is to the limit of its products, and the conditions."""
    console = _console()
    console.print(training_table(measured, list(limits)))
    _lines(
        console,
        f"order {job.order}, {job.pairs:,} pairs, {job.threads} threads on {job.device}, peers in "
        f"float32 if nothing else is said, ours with batches of {job.batch_tokens:,} padded tokens",
        *(_limit(name, limit) for name, limit in limits.items()),
        f"load average before each run: {', '.join(f'{m.load:.2f}' for m in measured)}",
        *notes,
    )


def _limit(name: str, limit: dict[str, Any]) -> str:
    batch = limit["mean_batch"]
    return (
        f"matrix products alone: {limit['milliseconds_an_update']:.0f} ms for an update of "
        f"{batch['sentences']} sentences of {batch['source']} source and {batch['target']} target "
        f"tokens, {limit['tokens_per_second']:,.0f} target tokens/s; {name} reaches "
        f"{100 * limit['share_reached']:.0f} % of that{_peak(limit)}"
    )


def _peak(limit: dict[str, Any]) -> str:
    """The share of a GPU's speed in one large product; empty on a CPU."""
    if "share_of_peak" not in limit:
        return ""
    teraflops = 2 * limit["peak_multiply_adds_a_second"] / 1e12
    return f", and {100 * limit['share_of_peak']:.2g} % of {teraflops:,.0f} TFLOP/s"


def show_quality(rows: Sequence[dict[str, Any]], job: Job, *, recipe: str | None) -> None:
    """Print the table of BLEU after minutes, and the conditions."""
    console = _console()
    console.print(quality_table(rows))
    _lines(
        console,
        f"{job.pairs:,} pairs, {counted(job.threads, 'thread')}; "
        f"ours: {f'recipe {recipe}' if recipe else 'no option'}, a run of its own for each mark, "
        "since its learning rate decays towards the end; peers: one run, "
        + ("as documented" if job.documented else "their rates halve when perplexity stalls"),
        f"BLEU {rows[0]['signature']}",
    )


def show_decoding(measured: Sequence[decoding.Measurement], job: Job, *, minutes: float) -> None:
    """Print a table for each search that was asked for, and the conditions."""
    console = _console()
    for search in dict.fromkeys(each.search for each in measured):
        console.print(decoding_table([each for each in measured if each.search == search]))
    _lines(
        console,
        f"models of the benchmark's sizes, trained for {minutes:g} minutes; {job.threads} threads; "
        "whole processes, less the time of the first sentence alone",
        f"load average before each run: {', '.join(f'{each.load:.2f}' for each in measured)}",
    )


def decoding_table(measured: Sequence[decoding.Measurement]) -> Table:
    """Sentences a second, and the ratio of each system to every peer, round by round."""
    table = Table(title=f"Translation, {measured[0].search}")
    names = list(dict.fromkeys(each.system for each in measured))
    peers = [name for name in names if not name.startswith("ours")]
    table.add_column("system")
    for heading in (
        "sentences/s\nmedian", "min to max", "BLEU", "first sentence\nseconds",
        *(f"/ {name_of(name)}" for name in peers),
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    speeds = {
        name: {m.round: m.sentences_per_second for m in measured if m.system == name}
        for name in names
    }
    for name in names:
        found = Spread.of(list(speeds[name].values()))
        first = next(each for each in measured if each.system == name)
        startup = Spread.of([each.startup for each in measured if each.system == name])
        over = [
            Spread.of([speed / speeds[peer][number] for number, speed in speeds[name].items()])
            for peer in peers
        ]
        table.add_row(
            name if name.startswith("ours") else name_of(name),
            f"{found.median:.1f}",
            f"{found.least:.1f} to {found.most:.1f}",
            "" if first.bleu is None else f"{first.bleu:.1f}",
            f"{startup.median:.1f}",
            *(f"{each.median:.2f}" for each in over),
        )
    return table


def show_latencies(
    measured: Sequence[latency.Latencies], job: Job, *, words: int, beam: int
) -> None:
    """Print a row for each system, and the conditions."""
    console = _console()
    console.print(latency_table(measured))
    _lines(
        console,
        f"{len(measured[0].seconds)} sentences of {words} words, one by one, beam {beam}, "
        f"{job.threads} threads; ours from a line in to a line out, of the peers the search alone",
        f"load average before each run: {', '.join(f'{each.load:.2f}' for each in measured)}",
    )


def latency_table(measured: Sequence[latency.Latencies]) -> Table:
    """Percentiles of all rounds together, in milliseconds."""
    table = Table(title="Latency of one sentence, ms")
    table.add_column("system")
    for heading in ("p50", "p95", "most"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(each.system for each in measured):
        taken = [s for each in measured if each.system == name for s in each.seconds]
        table.add_row(
            name if name.startswith("ours") else name_of(name),
            *(f"{1000 * percentile(taken, percent):.0f}" for percent in (50, 95, 100)),
        )
    return table


def show_commits(measured: Sequence[commits.Commit], request: dict[str, Any]) -> None:
    """Print a row for each commit, and the conditions."""
    console = _console()
    console.print(commits_table(measured, len(request["lines"])))
    _lines(console, f"{len(request['lines'])} sentences, {request['search']}, one thread")


def commits_table(measured: Sequence[commits.Commit], sentences: int) -> Table:
    """Sentences per second of processor time, and how much each commit changed."""
    table = Table(title="Search, by commit")
    table.add_column("commit")
    for heading in (
        "sentences/s", "/ first", "/ one before", "products", "other texts", "score differs",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    table.add_column("subject")
    first = before = measured[0]
    for commit in measured:
        seconds = min(commit.seconds)
        table.add_row(
            commit.sha,
            f"{sentences / seconds:.1f}",
            f"{min(first.seconds) / seconds:.2f}",
            f"{min(before.seconds) / seconds:.3f}",
            f"{100 * commit.product_share:.0f} %",
            str(commit.changed(first)),
            f"{commit.score_difference(first):.0e}",
            commit.subject,
        )
        before = commit
    return table


def _lines(console: Console, *lines: str) -> None:
    about = ", ".join(f"{name} {value}" for name, value in machine.describe().items())
    for line in (*lines, about):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _console() -> Console:
    """A console that is wide enough for the tables in a pipe too."""
    return Console(width=None if sys.stdout.isatty() else 140)


def name_of(system: str) -> str:
    """The display name of a system, with its precision if there is one."""
    module, *precision = system.split()
    return " ".join([import_module(f"benchmarks.{module}").NAME, *precision])


def training_table(measured: Sequence[Measurement], ours: Sequence[str]) -> Table:
    table = Table(title="Training, target tokens a second without padding")
    table.add_column("system")
    for heading in (
        "parameters", "sentences\na batch", "target tokens\na batch", "padding",
        "target tokens/s\nmedian", "min to max",
        *(f"{name}\n/ system" for name in ours),
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for system in systems(measured):
        table.add_row(*_row(measured, system, ours))
    return table


def _row(measured: Sequence[Measurement], system: str, ours: Sequence[str]) -> list[str]:
    first = next(m for m in measured if m.system == system)
    inside, found = first.inside, speed(measured, system)
    over = [ratio(measured, name, system) for name in ours]
    padding = 1 - inside.target_tokens / inside.padded_target_tokens
    return [
        name_of(system),
        f"{first.parameters / 1e6:.2f} M",
        f"{inside.sentences / inside.updates:.1f}",
        f"{inside.target_tokens / inside.updates:,.0f}",
        f"{100 * padding:.0f} %",
        f"{found.median:,.0f}",
        f"{found.least:,.0f} to {found.most:,.0f}",
        *(f"{o.median:.2f} ({o.least:.2f} to {o.most:.2f})" for o in over),
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
