"""The program: registers the commands, turns errors into messages and exit codes.

Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data, 4 model or checkpoint, 5 training diverged,
6 resources, 129, 130 or 143 interrupted. Importing this module does not import torch.
"""

import errno
import os
import sys
import traceback
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from cli.commands import (
    align,
    check,
    corpus,
    demo,
    describe,
    doctor,
    evaluate,
    preprocess,
    score,
    train,
    translate,
)
from cli.runs.device import SPINS
from cli.runs.interruption import Terminated, ignore_signals, install_signal_handlers
from cli.terminal.console import note, report_error
from seq2seq.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    DivergenceError,
    ResourceError,
    UserError,
)
from seq2seq.system.out_of_memory import is_out_of_memory

EXIT_CODES: dict[type[UserError], int] = {
    ConfigError: 2,
    CorpusError: 3,
    CheckpointError: 4,
    DivergenceError: 5,
    ResourceError: 6,
}


class _Commands(TyperGroup):
    """Carries past Typer what it would answer with exit codes of its own."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, EOFError, KeyboardInterrupt) as error:
            raise _Carried from error


class _Carried(BaseException):
    """Has its meaning as its cause."""


app = typer.Typer(
    name="seq2seq",
    cls=_Commands,
    help="Train RNN encoder-decoder translation models with selectable attention.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.add_typer(corpus.app, name="corpus")
app.command()(check.check)
app.command()(preprocess.preprocess)
app.command()(train.train)
app.command()(translate.translate)
app.command()(evaluate.evaluate)
app.command()(score.score)
app.command()(align.align)
app.command()(describe.describe)
app.command()(doctor.doctor)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        names = ("seq2seq-trainer", "torch", "sentencepiece", "sacrebleu")
        sys.stdout.write("  ".join(f"{name} {version(name)}" for name in names) + "\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print versions."),
    ] = False,
) -> None:
    """Train RNN encoder-decoder translation models with selectable attention."""


def main() -> NoReturn:
    """Run the program and leave with a documented exit code."""
    _open_standard_streams()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # before torch loads
    install_signal_handlers()
    try:
        app()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except _Carried as error:
        assert error.__cause__ is not None
        code = _told(error.__cause__)
    except BaseException as error:
        code = _told(error)
    code = _flushed(code)
    ignore_signals()
    sys.exit(code)


def _open_standard_streams() -> None:
    """UTF-8 whatever the locale; and a stream that was closed (`>&-`) is one that cannot be used.

    Left closed, its number would go to the next file that is opened, and what is printed would be
    written there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # opened the wrong way round, so that its use fails; stderr is just silent
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_WRONLY)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")  # type: ignore[union-attr]


def _told(error: BaseException) -> int:
    """Say on stderr what ended the program; returns its exit code."""
    match error:
        case UserError():
            report_error(error)
            return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        case KeyboardInterrupt():
            note("interrupted")
            return 130
        case Terminated():
            note("terminated")
            return error.exit_code
        case BrokenPipeError():
            return _reader_left()
        case OSError():
            if stopped := _signal_behind(error):  # and then its terminal could not be written to
                return _told(stopped)
            report_error(_resource_error(error))
            return 6
    if is_out_of_memory(error):
        report_error(
            ResourceError(
                "out of memory",
                hint="lower training.batch_tokens, search.batch_sentences or the model's sizes",
            )
        )
        return 6
    traceback.print_exception(error)
    note("this is a bug in seq2seq: please report it with the lines above and `seq2seq doctor`")
    return 1


def _signal_behind(error: BaseException) -> BaseException | None:
    """The signal that was being answered when an error came, if it was one."""
    behind = error.__context__
    while behind is not None and not isinstance(behind, KeyboardInterrupt | Terminated):
        behind = behind.__context__
    return behind


def _flushed(code: int) -> int:
    """Write out what is buffered, so that a full disk behind stdout is told, not lost."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_left()
    except OSError as error:
        _discard(sys.stdout)
        if code != 6:  # else it has been told
            report_error(_resource_error(error, place="standard output"))
        code = 6
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _reader_left() -> int:
    """`| head -1` closed our stdout: leave quietly, as a filter does."""
    _discard(sys.stdout)
    return 141


def _discard(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, or Python complains of it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _resource_error(error: OSError, *, place: str = "") -> ResourceError:
    place = str(error.filename or place or "writing failed")
    if error.errno == errno.EBADF:
        return ResourceError(f"{place} is closed", hint="name a file or a pipe to write to")
    return ResourceError(
        f"{place}: {error.strerror or error}", hint="check free space, permissions and the path"
    )
