"""One writer at a time: a lock file that the kernel releases when its owner's process dies."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from seq2seq.errors import ResourceError

ACQUIRE_ATTEMPTS = 5
"""Tries for a file that cannot be created, or that its owner is removing at this moment."""


@contextmanager
def exclusive_lock(path: Path, activity: str, *, remove: bool = False) -> Iterator[None]:
    """Own the lock file `path` inside the `with` block; other processes read in it who owns it.

    The file stays after the lock is released, or with `remove` is deleted before that, while
    nobody else can own it. Deleted afterwards it would let two processes in: one that owns the
    deleted file, and one that created a new one. filelock releases a file that was deleted before
    it was acquired.

    Raises ResourceError when another process owns it; `activity` says in the message what that
    process does, as in "RUN is being trained".
    """
    lock = FileLock(path)
    _acquire(lock, path, activity)
    try:
        _write(path, {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()})
        yield
    finally:
        try:
            if remove:
                path.unlink(missing_ok=True)
            else:
                _write(path, None)
        finally:
            lock.release()


def _acquire(lock: BaseFileLock, path: Path, activity: str) -> None:
    for _ in range(ACQUIRE_ATTEMPTS):
        try:
            lock.acquire(timeout=0)
            return
        except Timeout as error:
            if path.exists():
                raise ResourceError(
                    f"{activity} by {_owner(path)}", hint="wait for it, or stop it first"
                ) from error
        except OSError as error:
            raise ResourceError(
                f"{path.parent} cannot be written to: {error.strerror}",
                hint="choose a folder of yours",
            ) from error
    raise ResourceError(f"{path.parent} cannot be written to", hint="choose a folder of yours")


def _owner(path: Path) -> str:
    """The process that the file names, if its owner has written its name already."""
    try:
        owner = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        owner = {}
    since = f" since {owner['since']}" if "since" in owner else ""
    host = f" on {owner['host']}" if "host" in owner else ""
    return f"process {owner['pid']}{host}{since}" if "pid" in owner else "another process"


def _write(path: Path, value: dict[str, object] | None) -> None:
    """Write in place: a new file of the same name would be another lock."""
    with path.open("r+", encoding="utf-8") as stream:
        stream.truncate()
        stream.write("" if value is None else json.dumps(value) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
