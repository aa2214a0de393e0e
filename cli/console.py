"""The two consoles: results go to stdout, everything else to stderr.

Results are written as they are, never wrapped and never coloured on a pipe. Text that came from a
corpus, a model or a path reaches a terminal only through `visible`, so that no control byte in it
can drive the screen, and only through `Text`, so that nothing in it is read as markup.
"""

import errno
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from seq2seq.errors import UserError
from seq2seq.visible import visible


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Rich would leave the program with exit code 1; the caller knows better."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def stderr_console() -> Console:
    """Logs, progress, warnings and errors."""
    return _Console(stderr=True, markup=False, emoji=False, highlight=False)


def stdout_console() -> Console:
    """Tables and drawings; for plain lines use `write_line`, which never wraps."""
    console = _Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        columns = os.environ.get("COLUMNS", "")
        sensible = columns.isdecimal() and 0 < len(columns) < 5
        console.width = max(int(columns), 20) if sensible else 100
    return console


def write_line(line: str) -> None:
    """One result line; control characters are made visible on a terminal, untouched on a pipe."""
    text = visible(line) if sys.stdout.isatty() else line
    sys.stdout.write(text + "\n")


def write_json(value: Any) -> None:
    """One JSON document on one line, as a program reads it."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def note(message: str) -> None:
    """One plain line on stderr, never wrapped: programs and logs read it too."""
    _tell(Text(visible(message)))


def warn(message: str) -> None:
    _tell(Text.assemble(("warning: ", "yellow"), visible(message)))


def report_error(error: UserError) -> None:
    """What is wrong and where, then what to do, each on its line."""
    _tell(Text.assemble(("error: ", "bold red"), visible(error.message)))
    if error.hint:
        _tell(Text.assemble(("hint:  ", "cyan"), visible(error.hint)))


def _tell(line: Text) -> None:
    """Work goes on when nobody can hear: a training outlives the `| head` that stderr went to."""
    with suppress(OSError):
        stderr_console().print(line, soft_wrap=True)


def progress(*, counts: bool = True) -> Progress:
    """Bars on a terminal's stderr; nothing at all where stderr is not a terminal."""
    console = stderr_console()
    columns = [TextColumn("{task.description}"), BarColumn(bar_width=24)]
    middle = [MofNCompleteColumn()] if counts else []
    return Progress(
        *columns,
        *middle,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A plain table: first column left, the others right where they hold figures."""
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
