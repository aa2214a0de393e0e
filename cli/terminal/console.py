"""The two consoles: results go to stdout, everything else to stderr.

Results are written as they are, never wrapped and never coloured on a pipe. Text that came from a
corpus, a model or a path reaches a terminal only through `visible`, so that no control byte in it
can drive the screen, and only through `Text`, so that nothing in it is read as markup.

Rich is imported where it is used, so that `--help` answers at once.
"""

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from seq2seq.errors import UserError
from seq2seq.system.visible import json_line, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

NARROWEST = 20  # columns


@cache
def _console_type() -> type["Console"]:
    from rich.console import Console

    class Plain(Console):
        def __init__(self, *, stderr: bool = False) -> None:
            super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
            if self.width < NARROWEST:  # with COLUMNS=0, Rich prints nothing at all
                self.width = NARROWEST

        def on_broken_pipe(self) -> NoReturn:
            """Rich would leave the program with exit code 1; the caller knows better."""
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return Plain


def stderr_console() -> "Console":
    """Logs, progress, warnings and errors."""
    return _console_type()(stderr=True)


def stdout_console() -> "Console":
    """Tables and drawings; for plain lines use `write_line`, which never wraps."""
    console = _console_type()()
    if not console.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        sensible = columns.isdecimal() and 0 < len(columns) < 5
        console.width = max(int(columns), NARROWEST) if sensible else 100
    return console


def write_line(line: str) -> None:
    """One result line; control characters are made visible on a terminal, untouched on a pipe."""
    text = visible(line) if sys.stdout.isatty() else line
    sys.stdout.write(text + "\n")


def write_json(value: Any) -> None:
    """One JSON document on one line, as a program reads it."""
    sys.stdout.write(json_line(value))


def note(message: str) -> None:
    """One plain line on stderr, never wrapped: programs and logs read it too."""
    _tell((message, ""))


def warn(message: str) -> None:
    _tell(("warning: ", "yellow"), (message, ""))


def report_error(error: UserError) -> None:
    """What is wrong and where, then what to do, each on its line."""
    _tell(("error: ", "bold red"), (error.message, ""))
    if error.hint:
        _tell(("hint:  ", "cyan"), (error.hint, ""))


def _tell(*parts: tuple[str, str]) -> None:
    """Work goes on when nobody can hear: a training outlives the `| head` that stderr went to.

    parts: text and its style
    """
    from rich.text import Text

    line = Text.assemble(*((visible(text), style) for text, style in parts))
    with suppress(OSError):
        stderr_console().print(line, soft_wrap=True)


def progress() -> "Progress":
    """Bars on a terminal's stderr; nothing at all where stderr is not a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = stderr_console()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> "Table":
    """A plain table: first column left, the others right where they hold figures."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", title_style="bold", pad_edge=False)
    body = [[visible(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = index > 0 and all(_is_figure(row[index]) for row in body)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _is_figure(cell: str) -> bool:
    return not cell or cell.strip("<>~≥≤ ")[:1].isdigit() or cell[:1] in "-–+"
