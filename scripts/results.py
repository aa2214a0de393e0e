"""A file of results, one JSON object a line, so that nothing is measured twice."""

import argparse
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from cli.commands.doctor.machine import processor

T = TypeVar("T")


def read_results(path: Path) -> list[dict[str, Any]]:
    """All results of the file; none if there is no file yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def record(path: Path, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
    """Measure what has no result with this key yet, and append it to the file."""
    if any(key.items() <= result.items() for result in read_results(path)):
        return
    append(path, key | measure())


def append(path: Path, result: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result, ensure_ascii=False) + "\n")


def measure_all(
    pending: Sequence[T], measure: Callable[[T], dict[str, Any]], path: Path, *, jobs: int
) -> Iterator[dict[str, Any]]:
    """Measure the pending items, `jobs` at a time; yield each result when it is in the file."""
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(measure, each) for each in pending]):
            append(path, done.result())
            yield done.result()


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, help="a Markdown file; default: standard output")


def made_on() -> Iterator[str]:
    """The lines of a page that name the day, the machine and the versions."""
    yield f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, Python {platform.python_version()},"
    yield f"torch {torch.__version__}."


def write_page(lines: Iterable[str], output: Path | None) -> None:
    """Write lines to a file, or to standard output."""
    page = "\n".join(lines) + "\n"
    if output:
        output.write_text(page, encoding="utf-8")
    else:
        print(page, end="")
