"""The program: registers the commands, turns errors into messages and exit codes.

Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data, 4 model or checkpoint, 5 training diverged,
6 resources, 130 or 143 interrupted. Importing this module does not import torch.
"""

import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from cli import (
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
from cli.console import note, report_error
from seq2seq.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    DivergenceError,
    ResourceError,
    UserError,
)

EXIT_CODES: dict[type[UserError], int] = {
    ConfigError: 2,
    CorpusError: 3,
    CheckpointError: 4,
    DivergenceError: 5,
    ResourceError: 6,
}

app = typer.Typer(
    name="seq2seq",
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
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except UserError as error:
        report_error(error)
        code = EXIT_CODES[type(error)]
    except KeyboardInterrupt:
        note("interrupted")
        code = 130
    except Terminated:
        note("terminated")
        code = 143
    except BrokenPipeError:
        code = _reader_left()
    except MemoryError:
        report_error(ResourceError("out of memory", hint="use smaller batches or a smaller model"))
        code = 6
    except OSError as error:
        report_error(_resource_error(error))
        code = 6
    except Exception:
        traceback.print_exc()
        note("this is a bug in seq2seq: please report it with the lines above and `seq2seq doctor`")
        code = 1
    sys.exit(_flushed(code))


class Terminated(BaseException):
    """SIGTERM arrived; a BaseException so that no `except Exception` swallows it."""


def _terminate(signal_number: int, frame: object) -> NoReturn:
    raise Terminated


def _flushed(code: int) -> int:
    """Write out what is buffered, so that a full disk behind stdout is told, not lost."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        report_error(_resource_error(error))
        return 6
    return code


def _reader_left() -> int:
    """`| head -1` closed our stdout: leave quietly, as a filter does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _resource_error(error: OSError) -> ResourceError:
    place = f"{error.filename}: " if error.filename else ""
    return ResourceError(
        f"{place}{error.strerror or error}", hint="check free space, permissions and the path"
    )
