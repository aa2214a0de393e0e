"""Atomic files and directories: a reader finds the complete old or new content, never a part."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from seq2seq.errors import ResourceError

Parsed = TypeVar("Parsed")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a temporary file beside `path`, then rename it: readers find the old or the new.

    The new file is on disk before it is renamed, and the renaming before this returns; an error
    inside the `with` block leaves the old file untouched and deletes the temporary one.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Write a file whole or not at all; a pipe or a device is written to.

    A link stays, and what it points to is replaced.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    with replacing(path.resolve()) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Fill a temporary directory, then rename it: `path` appears with all its files or not at all.

    Raises ResourceError if `path` exists, so nothing is ever overwritten.
    """
    if path.exists():
        raise ResourceError(f"{path} exists already", hint="choose another path")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in sorted(partial.rglob("*")):
            sync(file)
        sync(partial)
        partial.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def saving_tensors(path: Path, named: Path) -> Iterator[None]:
    """Write a new file by safetensors' `save_file`, like any other new file.

    safetensors 0.8 writes files that nobody else may read: this one gets the mode that the umask
    leaves. Raises OSError, in place of an error of safetensors' own, for the path `named`.
    """
    from safetensors import SafetensorError

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        yield
    except SafetensorError as error:  # such as a full disk
        number = re.search(r"os error (\d+)", str(error))
        code = int(number.group(1)) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(named)) from error
    path.chmod(mode)


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write indented JSON, atomically."""
    with replacing(path) as partial:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        # A path that is not UTF-8 holds surrogates, which become JSON's own escapes.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises OSError if it cannot be read, ValueError if not JSON."""
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError if it is no JSON or is nested too deeply."""
    return _parse(text, json.loads)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError if it is no TOML or is nested too deeply."""
    return _parse(text, tomllib.loads)


def _parse(text: str, parser: Callable[[str], Parsed]) -> Parsed:
    try:
        return parser(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
