"""Lines of text for the terminal: results go to stdout, everything else to stderr.

Results are written as they are, never wrapped, and never coloured on a pipe. Text that came from a
corpus, a model or a path reaches a terminal only through `visible`, so that no control byte in it
can drive the screen, and Rich sees it only as `Text`, so that nothing in it is read as markup.

Rich is imported when the first line goes to stderr, so that `--help` answers at once; tables,
progress bars and the consoles themselves are in `cli.terminal.screen`.
"""

import sys
from contextlib import suppress
from typing import Any

from seq2seq.errors import UserError
from seq2seq.system.visible import json_line, visible


def write_line(line: str) -> None:
    """One line of results; on a terminal its control characters are made visible."""
    text = visible(line) if sys.stdout.isatty() else line
    sys.stdout.write(text + "\n")


def write_json(value: Any) -> None:
    """One JSON document on one line, for a program to read."""
    sys.stdout.write(json_line(value))


def note(message: str) -> None:
    """One plain line on stderr, never wrapped: programs and logs read it too."""
    _print_to_stderr((message, ""))


def warn(message: str) -> None:
    _print_to_stderr(("warning: ", "yellow"), (message, ""))


def heading(text: str) -> None:
    """A blank line and a bold line on stderr."""
    _print_to_stderr(("", ""))
    _print_to_stderr((text, "bold"))


def report_error(error: UserError) -> None:
    """Write an error on stderr: its message, then its hint, one line each."""
    _print_to_stderr(("error: ", "bold red"), (error.message, ""))
    if error.hint:
        _print_to_stderr(("hint:  ", "cyan"), (error.hint, ""))


def _print_to_stderr(*parts: tuple[str, str]) -> None:
    """Print (text, style) pairs as one line. A stderr that takes nothing is no error: training goes
    on after the `| head` that it was piped to has left."""
    from cli.terminal.screen import print_styled

    with suppress(OSError):
        print_styled([(visible(text), style) for text, style in parts])
