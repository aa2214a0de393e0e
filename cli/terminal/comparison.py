"""A comparison on the terminal: its plan, and its progress while it runs."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.runs.comparison.engine import run_tasks
from cli.runs.comparison.folder import ComparisonFolder, Trial, occupied
from cli.runs.comparison.forecast import Cost, cost_of, seconds_left, share_trained, time_left
from cli.runs.comparison.plan import Plan, check_folder, default_threads, tasks_left
from cli.runs.comparison.trial import Task
from cli.runs.interruption import Interrupted, Terminated, signal_number_of
from cli.runs.progress import clock_time
from cli.terminal.console import note, write_line
from cli.terminal.screen import stderr_console
from seq2seq.system.figures import counted
from seq2seq.system.visible import visible


def print_plan(path: Path, plan: Plan, *, device: str, threads: int | None, jobs: int) -> None:
    """The plan on stdout, with what a folder has already; nothing is written or trained."""
    folder = ComparisonFolder(path)
    if folder.description.is_file():
        check_folder(folder, plan, threads=threads)
        threads = folder.comparison.threads
    elif path.exists():
        raise occupied(path)
    threads = threads or default_threads(jobs)
    tasks = tasks_left(folder, plan, device=device, threads=threads)
    costs = costs_of(plan, tasks, device=device)
    for line in plan_lines(plan, tasks, costs, jobs=jobs, threads=threads):
        write_line(line)


def costs_of(plan: Plan, tasks: Sequence[Task], *, device: str) -> dict[str, Cost]:
    """The cost of a trial by the name of its system, of those that have tasks."""
    threads = {task.system: task.threads for task in tasks}
    return {
        system.name: cost_of(
            plan.configs[system.name],
            plan.stores[system.store],
            device=device,
            threads=threads[system.name],
        )
        for system in plan.systems
        if system.name in threads
    }


def plan_lines(
    plan: Plan, tasks: Sequence[Task], costs: dict[str, Cost], *, jobs: int, threads: int
) -> Iterator[str]:
    """The systems of a plan, those left out with the reason, and the time expected of the tasks."""
    names = [system.name for system in plan.systems]
    width = max(map(len, names))
    for system in plan.systems:
        store = f"  store {system.store}" if len(plan.stores) > 1 else ""
        yield f"{system.name:<{width}}  {_describe_cost(costs.get(system.name))}{store}"
    for unfit in plan.left_out:
        yield f"left out: {unfit.name}: {unfit.reason}"
    for name, described in plan.described.items():
        which = f" of store {name}" if len(plan.stores) > 1 else ""
        yield f"test set{which}: {described.test}, {counted(described.sentences, 'sentence')}"
    seeds = plan.grid.seeds
    total = len(plan.trials)
    done = total - len(tasks)
    yield (
        f"{counted(len(names), 'system')}, {counted(len(seeds), 'seed')} each: "
        f"{counted(total, 'trial')}{f', {done:,} of them done' if done else ''}; "
        f"{counted(jobs, 'job')} of {counted(threads, 'thread')}"
    )
    if tasks:
        yield f"expected time: {clock_time(seconds_left(tasks, costs, jobs=jobs))}"


def _describe_cost(cost: Cost | None) -> str:
    if cost is None:
        return "done"
    return f"{cost.parameters / 1e6:6.2f} M parameters  {clock_time(cost.seconds):>7} a seed"


def run_and_report(folder: ComparisonFolder, plan: Plan, *, device: str, jobs: int) -> None:
    """Do the trials that are left, with the plan and progress on stderr."""
    threads = folder.comparison.threads
    tasks = tasks_left(folder, plan, device=device, threads=threads)
    costs = costs_of(plan, tasks, device=device)
    for line in plan_lines(plan, tasks, costs, jobs=jobs, threads=threads):
        note(line)
    view = _View(folder, tasks, costs, jobs)
    with _how_to_continue(folder), view.shown():
        run_tasks(tasks, jobs=jobs, notify=view.notify, tick=view.redraw)


@contextmanager
def _how_to_continue(folder: ComparisonFolder) -> Iterator[None]:
    try:
        yield
    except (Interrupted, KeyboardInterrupt, Terminated) as error:
        raise Interrupted(
            signal_number_of(error),
            f"interrupted; {folder.path} has all that was done. Go on with the same command",
        ) from error


@dataclass
class _Row:
    """A trial that runs at the moment."""

    task: Task
    progress: float = 0.0
    text: str = "starting"
    scores: str = ""


class _View:
    """A line for each trial that runs and one for all, redrawn in place on a terminal; elsewhere a
    line when a trial begins and ends."""

    def __init__(
        self, folder: ComparisonFolder, tasks: Sequence[Task], costs: dict[str, Cost], jobs: int
    ) -> None:
        self._folder, self._tasks, self._costs, self._jobs = folder, tasks, costs, jobs
        self._trials = {trial.name: trial for trial in folder.comparison.trials}
        self._rows: dict[str, _Row] = {}
        self._done: list[Task] = []
        self._trained = {task.name: share_trained(task) for task in tasks}  # before this start
        self._share_before = self._share_done()
        self._planned = seconds_left(tasks, costs, jobs=jobs)
        self._began = time.monotonic()
        self._console = stderr_console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with suppress(OSError):
            self._live.start()
        try:
            yield
        finally:
            with suppress(OSError):
                self._live.stop()

    def notify(self, task: Task, event: dict[str, Any]) -> None:
        row = self._rows.setdefault(task.name, _Row(task))
        match event:
            case {"event": "begin"} if not self._console.is_terminal:
                note(f"{task.name}: begins")
            case {"event": "update", "progress": share, "update": update, **rest}:
                row.progress = share
                row.text = f"update {update:,}  {rest['tokens_per_second']:,.0f} tokens/s"
            case {"event": "validation", "bleu": bleu, "perplexity": perplexity}:
                row.scores = f"perplexity {perplexity:.2f}"
                row.scores += "" if bleu is None else f"  BLEU {bleu:.1f}"
            case {"event": "translating"}:
                row.progress, row.text = 1.0, "translating"
            case {"event": "done"}:
                del self._rows[task.name]
                self._done.append(task)
                self._report(self._trials[task.name])

    def _report(self, trial: Trial) -> None:
        result = self._folder.result(trial)
        assert result
        count = f"{len(self._done)}/{len(self._tasks)}"
        if result.status != "complete":
            self._say(f"warning: {trial.name}: {result.status}: {result.ended} ({count})")
        elif result.bleu and result.chrf:
            scores = f"BLEU {result.bleu.score:.2f}, chrF {result.chrf.score:.2f}"
            self._say(f"{trial.name}: {scores}, {clock_time(result.seconds)} ({count})")

    def _say(self, line: str) -> None:
        """One line, above the live view where there is one."""
        if not self._console.is_terminal:
            note(line)
            return
        with suppress(OSError):
            self._console.print(Text(visible(line)), soft_wrap=True)

    def redraw(self) -> None:
        if self._console.is_terminal:
            with suppress(OSError):
                self._live.update(self._draw(self._rows.values()), refresh=True)

    def _draw(self, rows: Iterable[_Row]) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for row in rows:
            bar = ProgressBar(total=1.0, completed=row.progress, width=16)
            texts = (Text(text, no_wrap=True) for text in (row.task.name, row.text, row.scores))
            name, text, scores = texts
            table.add_row(name, bar, text, scores)
        total = self._share_done()
        bar = ProgressBar(total=1.0, completed=total, width=16)
        summary = f"{len(self._done)} of {counted(len(self._tasks), 'trial')}"
        table.add_row(Text("all", style="bold"), bar, Text(summary), Text(self._left(total)))
        return table

    def _share_done(self) -> float:
        shares = self._trained | {task.name: 1.0 for task in self._done}
        for name, row in self._rows.items():
            shares[name] = max(shares[name], row.progress)
        costs = {task.name: self._costs[task.system].seconds for task in self._tasks}
        whole = sum(costs.values())
        return sum(costs[name] * shares[name] for name in costs) / whole if whole else 1.0

    def _left(self, share: float) -> str:
        elapsed = time.monotonic() - self._began
        left = time_left(share, before=self._share_before, elapsed=elapsed, planned=self._planned)
        return f"{clock_time(left)} left"
