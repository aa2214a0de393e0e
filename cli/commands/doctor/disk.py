"""Folders that files are written to: their free space, and whether they can be written to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cli.commands.doctor.fact import Fact
from seq2seq.system.figures import gibibytes


def disk() -> Iterator[Fact]:
    from data.catalogue.packages import cache_directory

    folders: dict[str, Callable[[], Path | str]] = {
        "here": Path.cwd,
        "cache": cache_directory,
        "temporary": tempfile.gettempdir,
    }
    for key, path_of in folders.items():
        try:
            yield _folder(key, Path(path_of()))
        except (OSError, RuntimeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            problem = "the current directory is gone" if key == "here" else ""
            yield Fact(key, None, f"not usable: {reason}", problem)


def _folder(key: str, path: Path) -> Fact:
    """Free space, and whether a file can be written there or in the nearest folder above it."""
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    problem = _write_problem(existing)
    state = f"cannot be written: {problem}" if problem else "writable"
    missing = "" if existing == path.absolute() else ", does not exist yet"
    return Fact(
        key,
        {"path": str(path), "free_bytes": free, "writable": not problem},
        f"{shortened(path)}: {gibibytes(free)} free, {state}{missing}",
    )


def _write_problem(directory: Path) -> str:
    """Why no file can be written there; "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=directory) as stream:
            stream.write(b"seq2seq" * 1024)
            stream.flush()
            os.fsync(stream.fileno())
            stream.seek(0)
            return (
                "" if len(stream.read()) == 7 * 1024 else "a file does not contain what was written"
            )
    except OSError as error:
        return error.strerror or str(error)


def shortened(path: Path) -> str:
    """A path with ~ for the home folder, whose name may be that of the user."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
