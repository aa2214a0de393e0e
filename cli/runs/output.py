"""Output files of commands: never one of the inputs, and an existing file only where it may be."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from data.inputs import STDIN
from seq2seq.errors import ConfigError, ResourceError
from seq2seq.system.files import writing

STDOUT = Path("-")
_STDOUT_NAMES = {STDOUT, *map(Path, ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))}


def is_standard_output(path: Path) -> bool:
    """Whether it is "-" or one of the system's names for standard output."""
    return path in _STDOUT_NAMES


def refuse_output(path: Path, *, inputs: Iterable[Path], overwrite: bool) -> None:
    """Raises ConfigError or ResourceError for a file that must not or cannot be written.

    It is called before an input is read, and before hours of work are done.
    """
    if is_standard_output(path):
        return
    refuse_inputs(path, inputs)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ResourceError(
            f"{path} cannot be written", hint="name a file in a folder that you may write to"
        )
    if path.is_file() and not overwrite:
        raise ConfigError(f"{path} exists already", hint="choose another path, or --overwrite it")


def refuse_inputs(output: Path, inputs: Iterable[Path]) -> None:
    """Raises ConfigError where writing a file or folder would change an input.

    Either is the other, or a folder that contains the other, also through links.
    """
    for path in inputs:
        if path == STDIN or not path.exists() or not output.exists():
            continue
        if _contains(output, path) or _contains(path, output):
            raise ConfigError(
                f"writing {output} would replace {path}, an input of this command",
                hint="choose another path to write to",
            )


def _contains(path: Path, other: Path) -> bool:
    """Whether it is the other one, or a folder above it; a device such as a terminal never is."""
    if stat.S_ISCHR(path.stat().st_mode):
        return False
    resolved = other.resolve()
    return path.samefile(other) or any(path.samefile(parent) for parent in resolved.parents)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines as `writing` does; raises ResourceError where it cannot be written."""
    _write(path, (f"{line}\n".encode() for line in lines))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of bytes as `writing` does; raises ResourceError where it cannot be written."""
    _write(path, [content])


def _write(path: Path, parts: Iterable[bytes]) -> None:
    try:
        with writing(path) as file:
            file.writelines(parts)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written: {error.strerror}",
            hint="choose a file in a folder that you may write to",
        ) from error
