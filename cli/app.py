"""The program: registers the commands, turns errors into messages and exit codes.

Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data, 4 model or checkpoint, 5 training diverged,
6 resources, 129, 130 or 143 interrupted, 141 the reader of stdout has left. Importing this module
imports nothing slow, such as torch.
"""

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup

from cli.commands import (
    align,
    bench,
    check,
    compare,
    compare_outputs,
    corpus,
    demo,
    describe,
    doctor,
    evaluate,
    preprocess,
    report,
    score,
    score_pairs,
    train,
    translate,
    tune_rescoring,
)
from cli.runs.device import SPINS
from cli.runs.interruption import (
    Interrupted,
    Terminated,
    ignore_signals,
    install_signal_handlers,
    signal_number_of,
)
from cli.runs.joining import ReportedElsewhere
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
Interruption: TypeAlias = Interrupted | Terminated | KeyboardInterrupt


class _PastTyper(BaseException):
    """Carries an exception, as its cause, past Typer, which would choose an exit code for it."""


class _Commands(TyperGroup):
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, EOFError, KeyboardInterrupt) as error:
            raise _PastTyper from error


class _CommandWithPanels(TyperCommand):
    """Its help has the options in groups, by their `rich_help_panel`; the others come first."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                own = getattr(parameter, "rich_help_panel", None) or "Options"
                panels.setdefault("Arguments" if is_argument else own, []).append(record)
        for name, records in panels.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


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
app.command(cls=_CommandWithPanels)(preprocess.preprocess)
app.command()(train.train)
app.command(cls=_CommandWithPanels)(translate.translate)
app.command(cls=_CommandWithPanels)(evaluate.evaluate)
app.command()(score.score)
app.command(cls=_CommandWithPanels)(score_pairs.score_pairs)
app.command()(tune_rescoring.tune_rescoring)
app.command(cls=_CommandWithPanels)(align.align)
app.command()(compare.compare)
app.command()(report.report)
app.command()(compare_outputs.compare_outputs)
app.command()(bench.bench)
app.command()(describe.describe)
app.command()(doctor.doctor)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        names = ("seq2seq-trainer", "torch", "sentencepiece", "sacrebleu")
        sys.stdout.write("  ".join(f"{name} {version(name)}" for name in names) + "\n")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print versions."),
    ] = False,
) -> None:
    """Train RNN encoder-decoder translation models with selectable attention."""
    if context.invoked_subcommand != "doctor" and not {"-h", "--help"} & {*sys.argv}:
        _refuse_deleted_folder()


def _refuse_deleted_folder() -> None:
    """Where the current directory was deleted, torch ends the process by itself."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ResourceError(
            "the current directory was deleted", hint="change to a directory that exists: cd"
        ) from error


def main() -> NoReturn:
    """Run the program and exit with a documented code."""
    _open_standard_streams()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # finding plugins slows the start
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # before torch is imported
    if "WORLD_SIZE" in os.environ:  # one of several ranks, which reports lost connections itself
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    install_signal_handlers()
    code = _flush(_run_command())
    ignore_signals()
    sys.exit(code)


def _run_command() -> int:
    """Run the command that argv names; returns the exit code, with any error reported."""
    try:
        app()
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except _PastTyper as error:
        assert error.__cause__ is not None
        return exit_code_of(error.__cause__)
    except BaseException as error:
        return exit_code_of(error)


def _open_standard_streams() -> None:
    """Make stdout and stderr UTF-8 whatever the locale, and give closed streams (`>&-`) a file.

    Without one, the number of a closed stream would go to the next file that is opened, and what is
    printed would be written into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # stdin to write, stdout to read: using them fails; stderr is silent
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_WRONLY)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")  # type: ignore[union-attr]


def exit_code_of(error: BaseException) -> int:
    """Report on stderr what ended the program; returns the exit code for it."""
    match error:
        case ReportedElsewhere():
            return _silent_code(error.error)
        case UserError():
            report_error(error)
            return _user_error_code(error)
        case Interrupted() | Terminated() | KeyboardInterrupt():
            return _interruption_code(error)
        case BrokenPipeError():
            return _reader_has_left()
        case OSError() if not _torch_failed_to_load(error):
            if interruption := _interruption_behind(error):  # its terminal could not be written to
                return _interruption_code(interruption)
            report_error(_resource_error(error))
            return EXIT_CODES[ResourceError]
    if _torch_failed_to_load(error):
        report_error(
            ResourceError(
                f"torch cannot be loaded: {' '.join(str(error).split())}",
                hint="install it again, with `pip install --force-reinstall torch`; "
                "`seq2seq doctor` shows which one this is",
            )
        )
        return EXIT_CODES[ResourceError]
    if is_out_of_memory(error):
        report_error(
            ResourceError(
                "out of memory",
                hint="lower training.batch_tokens, search.batch_sentences or the model's sizes",
            )
        )
        return EXIT_CODES[ResourceError]
    traceback.print_exception(error)
    note("this is a bug in seq2seq: please report it with the lines above and `seq2seq doctor`")
    return 1


def _user_error_code(error: UserError) -> int:
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def _silent_code(error: BaseException) -> int:
    """The exit code for an error that another rank of the training reports."""
    match error:
        case UserError():
            return _user_error_code(error)
        case Interrupted() | Terminated() | KeyboardInterrupt():
            return 128 + signal_number_of(error)
    return 1


def _interruption_code(error: Interruption) -> int:
    """Say that the program was interrupted; returns 129, 130 or 143, as shells expect."""
    match error:
        case Interrupted():
            note(error.message)
        case Terminated():
            note("terminated")
        case KeyboardInterrupt():
            note("interrupted")
    return 128 + signal_number_of(error)


def _torch_failed_to_load(error: BaseException) -> bool:
    """Whether an import of torch raised this, as where a library of it is missing."""
    if not isinstance(error, ImportError | OSError):
        return False
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "torch":
        return True
    files = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(file.parts[-2:] == ("torch", "__init__.py") for file in files)


def _interruption_behind(error: BaseException) -> Interruption | None:
    """The interruption that was being handled when an error was raised, if there was one."""
    context = error.__context__
    while context is not None and not isinstance(context, Interruption):
        context = context.__context__
    return context


def _flush(code: int) -> int:
    """Write out what is buffered; returns the exit code, which is 6 where that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_has_left()
    except OSError as error:
        _discard(sys.stdout)
        if code != EXIT_CODES[ResourceError]:  # else it has been reported
            report_error(_resource_error(error, name="standard output"))
        code = EXIT_CODES[ResourceError]
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _reader_has_left() -> int:
    """stdout's reader, such as `head -1`, has left: exit quietly, with the code of SIGPIPE."""
    _discard(sys.stdout)
    return 141


def _discard(stream: TextIO) -> None:
    """Send what is still buffered to nowhere, or Python complains about it at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _resource_error(error: OSError, *, name: str = "writing failed") -> ResourceError:
    if error.errno == errno.EBADF and error.filename is None:
        return ResourceError(
            "standard output is closed", hint="leave out >&-, or send the output into a file"
        )
    name = str(error.filename or name)
    return ResourceError(
        f"{name}: {error.strerror or error}", hint="check free space, permissions and the path"
    )


if __name__ == "__main__":  # torchrun ... -m cli.app train ...
    main()
