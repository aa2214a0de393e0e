"""One writer at a time: a lock that the kernel lets go of when its holder dies."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from seq2seq.errors import ResourceError

TRIES = 5  # at a file that is neither there nor can be made, or that its holder is just removing


@contextmanager
def held(path: Path, doing: str, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, in which others read who holds it.

    The file stays when the lock is let go, or with `remove` is removed before that, while nobody
    else can hold it. Removed afterwards it would let two in: one that holds the file that is gone,
    and one that made a new one. filelock lets go of a file that is gone by the time it has it.

    Raises ResourceError when another process holds it; `doing` says in the message what that
    process does, as in "RUN is being trained".
    """
    lock = FileLock(path)
    _acquire(lock, path, doing)
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


def _acquire(lock: BaseFileLock, path: Path, doing: str) -> None:
    for _ in range(TRIES):
        try:
            lock.acquire(timeout=0)
            return
        except Timeout as error:
            if path.exists():
                raise ResourceError(
                    f"{doing} by {_holder(path)}", hint="wait for it, or stop it first"
                ) from error
        except OSError as error:
            raise ResourceError(
                f"{path.parent} cannot be written to: {error.strerror}",
                hint="choose a folder of yours",
            ) from error
    raise ResourceError(f"{path.parent} cannot be written to", hint="choose a folder of yours")


def _holder(path: Path) -> str:
    """Its holder may be about to write its name, or to take it back."""
    try:
        who = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        who = {}
    since = f" since {who['since']}" if "since" in who else ""
    host = f" on {who['host']}" if "host" in who else ""
    return f"process {who['pid']}{host}{since}" if "pid" in who else "another process"


def _write(path: Path, value: dict[str, object] | None) -> None:
    """In place: another file of this name would be another lock."""
    with path.open("r+", encoding="utf-8") as stream:
        stream.truncate()
        stream.write("" if value is None else json.dumps(value) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
