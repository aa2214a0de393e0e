"""The program as its users start it, in a process of its own; or called in this one."""

import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

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


def call(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> ProgramResult:
    """The program called in this process: quick, because all its modules are loaded already."""
    from cli.app import main

    return call_main(main, *arguments, stdin=stdin, cwd=cwd)


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
