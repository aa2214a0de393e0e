"""Files that a user names; pipes and standard input, which can be read only once, are among them.

`rereadable` is for whoever reads an input more than once. Paths stay as the user typed them, so
that messages, reports and stores name nothing else.
"""

import errno
import io
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast

from seq2seq.errors import ConfigError, CorpusError, ResourceError, UserError

STDIN = Path("-")
_BLOCK = 1 << 20  # bytes

_copies: dict[Path, Path] = {}
"""The temporary copy of each path that `rereadable` holds."""


def display_name(path: Path) -> str:
    """A path as messages name it."""
    return "standard input" if path == STDIN else str(path)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The ends of the paths, as long as it takes to distinguish them."""
    names = [display_name(path) for path in paths]
    named = [path if path.name not in ("", "..") else path.resolve() for path in paths]
    for count in range(1, max(len(path.parts) for path in named) + 1):
        ends = [name if path == STDIN else "/".join(path.parts[-count:])
                for path, name in zip(named, names, strict=True)]  # fmt: skip
        if len({*ends}) == len(ends):
            return ends
    return names


@contextmanager
def open_input(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, a pipe or standard input for reading; the caller must do nothing but read.

    Raises CorpusError, naming the path as it was given, for what cannot be read, and ConfigError
    for a file that standard output is redirected to.
    """
    with ExitStack() as stack:
        if path == STDIN and path not in _copies:
            stream = _standard_input()
        else:
            stream = stack.enter_context(_open_file(path))
        _refuse_standard_output(path, stream)
        try:
            yield stream
        except OSError as error:
            closed = path == STDIN and error.errno == errno.EBADF
            what = "is closed" if closed else f"cannot be read: {error.strerror or error}"
            raise CorpusError(f"{display_name(path)} {what}", hint="give a text file") from error


def read_text(path: Path) -> str:
    """All of a small file, such as one of settings. Raises OSError, or ValueError for bad UTF-8."""
    if path == STDIN:
        return _standard_input().read().decode("utf-8")
    return path.read_text(encoding="utf-8")


@contextmanager
def rereadable(*paths: Path, notify: Callable[[str], None]) -> Iterator[None]:
    """Let `open_input` open each path any number of times, until the context ends.

    Standard input and pipes are copied to temporary files, all at once: a process that writes to
    two pipes in turn waits until both are read. `notify` is called with the reason. Raises what
    `refuse_repeated` and `open_input` raise, and ResourceError where a copy cannot be written.
    """
    refuse_repeated(paths)
    pipes = [path for path in dict.fromkeys(paths) if can_be_read_once(path)]
    if not pipes:
        yield
        return
    names = " and ".join(map(display_name, pipes))
    notify(f"{names} can be read only once: copied to {tempfile.gettempdir()} for this command")
    with tempfile.TemporaryDirectory(prefix="seq2seq-") as folder:
        copies = {path: Path(folder) / str(number) for number, path in enumerate(pipes)}
        _copy_at_once(copies)
        _copies.update(copies)
        try:
            yield
        finally:
            for path in copies:
                del _copies[path]


def refuse_repeated(paths: Sequence[Path]) -> None:
    """Raises ConfigError where standard input or a pipe is named more than once."""
    seen: dict[object, Path] = {}
    for path in paths:
        for identity in _identities(path):
            if identity in seen:
                names = dict.fromkeys(map(display_name, (seen[identity], path)))
                what = "was given more than once" if len(names) == 1 else "are one pipe"
                raise ConfigError(f"{' and '.join(names)} {what}", hint="name files instead")
            seen[identity] = path


def refuse_pipes(paths: Iterable[Path], *, reason: str) -> None:
    """Raises ConfigError where a path can be read only once; the reason is why that is too few."""
    for path in paths:
        if can_be_read_once(path):
            raise ConfigError(
                f"{display_name(path)} can be read only once; {reason}",
                hint="name files that every machine can read",
            )


def _identities(path: Path) -> Iterator[object]:
    """Keys that are equal for two names of one pipe or of standard input; none for a file."""
    if path == STDIN:
        yield STDIN
    with suppress(OSError):  # it is missing, closed, or in memory
        status = os.fstat(sys.stdin.fileno()) if path == STDIN else path.stat()
        if _is_stream(status) and not os.path.samestat(status, Path(os.devnull).stat()):
            yield status.st_dev, status.st_ino


def can_be_read_once(path: Path) -> bool:
    """Whether it is standard input, a pipe, a FIFO, a socket or a terminal."""
    try:
        return path == STDIN or _is_stream(path.stat())
    except OSError:
        return False


def _is_stream(status: os.stat_result) -> bool:
    return not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))


def _standard_input() -> io.BufferedReader:
    """Unlike `sys.stdin.buffer`, safe to leave: Python aborts at exit while a thread reads that."""
    try:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    except io.UnsupportedOperation:  # it is in memory, as in a test
        return cast(io.BufferedReader, sys.stdin.buffer)


def _open_file(path: Path) -> io.BufferedReader:
    try:
        return _copies.get(path, path).open("rb")
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist", hint=_what_to_check(path)) from error
    except IsADirectoryError as error:
        raise CorpusError(f"{path} is a directory", hint="name a text file inside it") from error
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from error


def _refuse_standard_output(path: Path, stream: io.BufferedReader) -> None:
    """Without this, `translate RUN FILE >> FILE` would translate its own translations."""
    with suppress(OSError):  # one of them is closed or in memory
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.fstat(1)):
            raise ConfigError(
                f"{display_name(path)} is the file that standard output is written to",
                hint="redirect standard output to another file",
            )


def _copy_at_once(copies: dict[Path, Path]) -> None:
    errors: list[UserError] = []

    def copy(path: Path, to: Path) -> None:
        try:
            _copy(path, to)
        except UserError as error:
            errors.append(error)

    threads = [threading.Thread(target=copy, args=item, daemon=True) for item in copies.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _copy(path: Path, to: Path) -> None:
    with open_input(path) as stream, to.open("wb", buffering=0) as file:
        while block := stream.read(_BLOCK):
            _append(file, block, display_name(path))


def _append(file: io.FileIO, block: bytes, name: str) -> None:
    try:
        while block:
            block = block[file.write(block) :]
    except OSError as error:
        raise ResourceError(
            f"{name} cannot be kept in {tempfile.gettempdir()}: {error.strerror}",
            hint="free space there, or name another folder in TMPDIR",
        ) from error


def _what_to_check(path: Path) -> str:
    """A hint on a path where there is nothing."""
    first = path.parts[0] if path.parts else ""
    if first in ("http:", "https:", "ftp:"):
        return "download it first, and name the file"
    if first.startswith(("~", "$")):
        return f"check the path; the shell replaces {first} only where it stands without quotes"
    return "check the path"
