"""The program as its users start it, in a process of its own; forked; or called in this one."""

import gc
import io
import os
import pty
import shlex
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from typer.main import get_command

PROGRAM = Path(sys.executable).with_name("seq2seq")
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")
} | {"PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}  # two threads crawl on a busy machine


@dataclass(frozen=True)
class ProgramResult:
    """Exit code of the program, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout: "\\n" alone ends one."""
        assert not self.out or self.out.endswith("\n")
        return self.out.split("\n")[:-1]


def seq2seq(
    *arguments: object,
    stdin: bytes = b"",
    cwd: Path | None = None,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> ProgramResult:
    """The installed program, in a process of its own."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment,
        timeout=120,
    )
    return ProgramResult(done.returncode, done.stdout.decode(), done.stderr.decode())


def succeed(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> ProgramResult:
    """The installed program, in a process of its own, which must end with exit code 0."""
    result = seq2seq(*arguments, stdin=stdin, cwd=cwd)
    assert result.code == 0, result.err
    return result


def shell(
    command: str, *, environment: Mapping[str, str] = ENVIRONMENT, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `seq2seq` is the installed program."""
    line = f'seq2seq() {{ {shlex.quote(str(PROGRAM))} "$@"; }}; set -o pipefail; {command}'
    return subprocess.run(
        ["bash", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=100,
        encoding="utf-8",
    )


def started(
    *arguments: object, environment: Mapping[str, str] = ENVIRONMENT, **options: Any
) -> subprocess.Popen[Any]:
    """The installed program while it runs. options: of `Popen`"""
    return subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment, **options)


def can_fork() -> bool:
    """Whether a forked process can train: with a GPU, autograd has threads that it would lack."""
    import torch

    return not torch.cuda.is_available()


def forking(method: str) -> BaseContext:
    """In place of multiprocessing's `get_context`: its processes have all modules already."""
    return get_context("fork" if can_fork() else method)


def forked(
    *arguments: object,
    environment: Mapping[str, str] = ENVIRONMENT,
    first: Callable[[], object] = lambda: None,
    **options: Any,
) -> subprocess.Popen[Any]:
    """The program in a process forked from this one, which has loaded its modules already.

    It needs --threads 1, and cannot start processes.

    first: is called in that process before the program
    """

    def begin() -> None:
        first()
        become_program(*arguments, environment=environment)

    return started(*arguments, environment=environment, preexec_fn=begin, **options)


def forked_at_terminal(*arguments: object, environment: Mapping[str, str]) -> tuple[int, int]:
    """The program at a terminal of its own: the process and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        become_program(*arguments, environment=environment)
        os.execve(PROGRAM, ["seq2seq", *map(str, arguments)], dict(environment))
    return pid, terminal


def become_program(*arguments: object, environment: Mapping[str, str]) -> None:
    """Be the program in a forked process, to its end: of the tests, only loaded modules are left.

    Does nothing where a forked process cannot train.
    """
    from cli.app import main

    if not can_fork():
        return
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(environment)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)  # as Python does when it starts
    sys.argv = ["seq2seq", *map(str, arguments)]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.unraisablehook = sys.__unraisablehook__
    warnings.simplefilter(environment["PYTHONWARNINGS"])  # type: ignore[arg-type]
    gc.freeze()  # what the tests leave behind is not collected here, which would be reported
    gc.enable()
    code: object = 1
    try:
        main()
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 1)


def call(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> ProgramResult:
    """The program called in this process: quick, because all its modules are loaded already."""
    from cli import app as program

    with mock.patch.object(program, "app", command_of(program.app)):
        return call_main(program.main, *arguments, stdin=stdin, cwd=cwd)


@cache
def command_of(app: typer.Typer) -> Any:
    """The Click command of a Typer app, built once: Typer builds it anew at every call."""
    return get_command(app)


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def call_main(
    main: Callable[[], object],
    *arguments: object,
    stdin: bytes = b"",
    cwd: Path | None = None,
    stdout: type[io.TextIOWrapper] = io.TextIOWrapper,
) -> ProgramResult:
    """A `main` that reads sys.argv, with streams of its own; signal handlers are put back."""
    written, reported = io.BytesIO(), io.BytesIO()
    out = stdout(written, write_through=True)
    err = io.TextIOWrapper(reported, write_through=True)
    stdin_stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["seq2seq", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", stdin_stream),
        chdir(cwd or "."),
        redirect_stdout(out),
        redirect_stderr(err),
        _signal_handlers_restored(),
    ):
        try:
            main()
        except SystemExit as error:
            code = error.code
    assert isinstance(code, int)
    return ProgramResult(code, written.getvalue().decode(), reported.getvalue().decode())


@contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
