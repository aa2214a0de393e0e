"""Where files go: how much room there is, and whether they can be written."""

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

    places: dict[str, Callable[[], Path | str]] = {
        "here": Path.cwd,
        "cache": cache_directory,
        "temporary": tempfile.gettempdir,
    }
    for key, where in places.items():
        try:
            yield _place(key, Path(where()))
        except (OSError, RuntimeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            problem = "the current directory is gone" if key == "here" else ""
            yield Fact(key, None, f"not usable: {reason}", problem)


def _place(key: str, path: Path) -> Fact:
    """Free space, and whether a file can really be written; what is missing is not made."""
    existing = path.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    trouble = _write_trouble(existing)
    state = f"cannot be written: {trouble}" if trouble else "writable"
    made = "" if existing == path.absolute() else ", not made yet"
    return Fact(
        key,
        {"path": str(path), "free_bytes": free, "writable": not trouble},
        f"{shortened(path)}: {gibibytes(free)} free, {state}{made}",
    )


def _write_trouble(directory: Path) -> str:
    """Why no file can be written there, or nothing."""
    try:
        with tempfile.TemporaryFile(dir=directory) as stream:
            stream.write(b"seq2seq" * 1024)
            stream.flush()
            os.fsync(stream.fileno())
            stream.seek(0)
            return "" if len(stream.read()) == 7 * 1024 else "what was written is not read back"
    except OSError as error:
        return error.strerror or str(error)


def shortened(path: Path) -> str:
    """Without the name of the person, who may be about to publish it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
