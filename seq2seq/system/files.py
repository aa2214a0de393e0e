"""Files and directories that are there whole, or not at all."""

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from seq2seq.errors import ResourceError

Parsed = TypeVar("Parsed")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a neighbour, then swap: a reader finds the old file or the new one.

    The new file is on disk before the swap, and the swap before this returns; an error inside
    leaves the old file untouched and no neighbour behind.
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
def replacing_directory(path: Path) -> Iterator[Path]:
    """Fill a neighbour, then rename: `path` appears with all its files or not at all.

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


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write readable JSON, whole or not at all."""
    with replacing(path) as partial:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        # A path that is not UTF-8 holds surrogates, which become JSON's own escapes.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path) -> Any:
    """Raises ValueError, and OSError, for what cannot be read."""
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """Raises ValueError for all that cannot be read, for what is nested too deep too."""
    return _parsed(json.loads, text)


def parse_toml(text: str) -> dict[str, Any]:
    """Raises ValueError for all that cannot be read: deep nesting and long numbers too."""
    return _parsed(tomllib.loads, text)


def _parsed(parse: Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
