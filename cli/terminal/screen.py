"""Output through Rich: the consoles of stdout and stderr, tables, and progress bars."""

import errno
import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import NoReturn, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from seq2seq.system.visible import visible

MIN_COLUMNS = 20  # columns
PIPE_WIDTH = 100  # columns where stdout is not a terminal and COLUMNS does not say


class PlainConsole(Console):
    """A console that takes text literally: no markup, no emoji names, no highlighting."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        if self.width < MIN_COLUMNS:  # with COLUMNS=0, Rich prints nothing at all
            self.width = MIN_COLUMNS

    def on_broken_pipe(self) -> NoReturn:
        """Raise, where Rich would end the program with exit code 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def stderr_console() -> Console:
    """For progress, warnings and errors."""
    return PlainConsole(stderr=True)


def stdout_console() -> Console:
    """For tables and drawings; plain lines go through `console.write_line`, which never wraps."""
    console = PlainConsole()
    if not console.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        sensible = columns.isdecimal() and 0 < len(columns) < 5
        console.width = max(int(columns), MIN_COLUMNS) if sensible else PIPE_WIDTH
    return console


def print_styled(parts: Sequence[tuple[str, str]]) -> None:
    """Print (text, style) pairs as one line on stderr, never wrapped."""
    line = Text.assemble(*parts)
    stderr_console().print(line, soft_wrap=True)


def write_dimmed(parts: Sequence[tuple[str, bool]]) -> None:
    """One line of results on a terminal, never wrapped: texts, and whether each of them is dim."""
    line = Text.assemble(*((visible(text), "dim" if dim else "") for text, dim in parts))
    stdout_console().print(line, soft_wrap=True)


def progress(*, disable: bool = False) -> Progress:
    """Progress bars on a terminal's stderr; nothing where stderr is not a terminal."""
    console = stderr_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # results are written while the bar is shown
        disable=disable or not console.is_terminal,
    )


class PreparationProgress:
    """A progress bar for each stage of preparing a corpus, which appears when the stage begins."""

    def __init__(self) -> None:
        self._progress = progress()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        """stage: "pieces", "links", "merge" or the split that is encoded; total: 0 if not known."""
        if stage not in self._tasks:
            stages = {
                "pieces": "learning subword pieces",
                "links": "links of words",
                "merge": "merging shards",
            }
            text = stages.get(stage, f"encoding {stage}")
            self._tasks[stage] = self._progress.add_task(text, total=total or None)
        self._progress.update(self._tasks[stage], completed=done, total=total or None)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A plain table; columns of numbers, except the first, are aligned to the right."""
    drawn = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False)
    body = [[visible(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = index > 0 and all(_is_number(row[index]) for row in body)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _is_number(cell: str) -> bool:
    """Whether a cell is blank or a number, perhaps with a sign or "≥" before it."""
    return not cell or cell.strip("<>~≥≤ ")[:1].isdigit() or cell[:1] in "-–+"
