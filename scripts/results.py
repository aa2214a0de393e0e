"""A file of results, one JSON object a line, so that nothing is measured twice."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read_results(path: Path) -> list[dict[str, Any]]:
    """All results of the file; none if there is no file yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measure_all(
    pending: Sequence[T], measure: Callable[[T], dict[str, Any]], path: Path, *, jobs: int
) -> Iterator[dict[str, Any]]:
    """Measure the pending items, `jobs` at a time; yield each result once it is in the file."""
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(measure, pending):
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(result, ensure_ascii=False) + "\n")
            yield result


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, help="a Markdown file; default: standard output")


def write_page(lines: Iterable[str], output: Path | None) -> None:
    """Write lines to a file, or to standard output."""
    page = "\n".join(lines) + "\n"
    if output:
        output.write_text(page, encoding="utf-8")
    else:
        print(page, end="")
