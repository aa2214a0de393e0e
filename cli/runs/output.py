"""A text file that a command writes its results to."""

import os
from collections.abc import Iterable
from pathlib import Path

from seq2seq.errors import ResourceError
from seq2seq.system.files import replacing


def refuse_unwritable(path: Path) -> None:
    """Raises ResourceError where a file could not be written, before hours of work are done."""
    target = path if path.exists() else path.parent
    if path.is_dir() or not os.access(target, os.W_OK):
        raise ResourceError(
            f"{path} cannot be written", hint="name a file in a folder that you may write to"
        )


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file whole or not at all; a device or a pipe, such as /dev/stdout, is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            return
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise ResourceError(
            f"{path} cannot be written: {error.strerror}",
            hint="choose a file in a folder that you may write to",
        ) from error
