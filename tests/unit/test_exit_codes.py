"""How the program ends: every exception becomes a message on stderr and a documented exit code."""

import errno
import signal

import pytest

from cli.app import exit_code_of
from cli.runs.interruption import Interrupted, Terminated
from seq2seq.errors import CheckpointError, ConfigError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (Terminated(signal.SIGTERM), 143, "terminated\n"),
        (Terminated(signal.SIGHUP), 129, "terminated\n"),
        (Interrupted(signal.SIGINT), 130, "interrupted\n"),
        (Interrupted(signal.SIGTERM, "all is saved"), 143, "all is saved\n"),
        (Interrupted(signal.SIGHUP, "all is saved"), 129, "all is saved\n"),
        (ConfigError("no such setting", hint="look"), 2, "error: no such setting\nhint:  look\n"),
        (CheckpointError("it is damaged", hint="mend"), 4, "error: it is damaged\nhint:  mend\n"),
        (MemoryError(), 6, "error: out of memory\n"),
        (OSError(errno.ENOSPC, "full", "file"), 6, "error: file: full\n"),
        (ValueError("of ours"), 1, "ValueError: of ours\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_exception_has_its_exit_code_and_message(error, code, message, capsys):
    assert exit_code_of(error) == code
    assert message in capsys.readouterr().err


def test_a_signal_counts_more_than_the_terminal_that_it_closed(capsys):
    """SIGHUP comes with a terminal that cannot be written to any more."""
    try:
        try:
            raise Terminated(signal.SIGHUP)
        except Terminated:
            raise OSError(errno.EIO, "the terminal is gone") from None
    except OSError as error:
        assert exit_code_of(error) == 129
