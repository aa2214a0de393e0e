"""The two consoles: results go to stdout, everything else to stderr.

Results are written as they are, never wrapped and never coloured on a pipe. Text that came from a
corpus, a model or a path reaches a terminal only through `visible`, so that no control byte in it
can drive the screen, and only through `Text`, so that nothing in it is read as markup.
"""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any

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


def stderr_console() -> Console:
    """Logs, progress, warnings and errors."""
    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def stdout_console() -> Console:
    """Tables and drawings; for plain lines use `write_line`, which never wraps."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = int(os.environ.get("COLUMNS", "0") or 0) or 100
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
    stderr_console().print(Text(visible(message)), soft_wrap=True)


def warn(message: str) -> None:
    console = stderr_console()
    console.print(Text.assemble(("warning: ", "yellow"), visible(message)), soft_wrap=True)


def report_error(error: UserError) -> None:
    """What is wrong and where, then what to do, each on its line."""
    console = stderr_console()
    console.print(Text.assemble(("error: ", "bold red"), visible(error.message)), soft_wrap=True)
    if error.hint:
        console.print(Text.assemble(("hint:  ", "cyan"), visible(error.hint)), soft_wrap=True)


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
