"""Speed and memory of `seq2seq preprocess` on random corpora of any size.

    python scripts/benchmark_preprocess.py --pairs 500000 5000000

Memory must not grow with the corpus: peaks are the resident set of the parent process, and the sum
over it and its workers (which counts pages that they share more than once).
"""

import argparse
import bisect
import itertools
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

VOCABULARY = 50_000  # words a side
SYLLABLES = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "s", "r")]
MAX_LENGTH = 40  # words
INTERVAL = 0.05  # seconds between two measurements of memory


@dataclass(frozen=True)
class PreprocessMeasurement:
    pairs: int
    seconds: float
    parent_mb: float  # peak
    sum_mb: float  # peak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--threads", type=int, help="processes that encode; all cores if left out")
    parser.add_argument(
        "--folder", type=Path, help="where corpora and stores are written, and deleted"
    )
    arguments = parser.parse_args()
    measured = []
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=arguments.folder) as folder:
            measured.append(measure(Path(folder), pairs, threads=arguments.threads))
        show(measured[-1])
    first, last = measured[0], measured[-1]
    if len(measured) > 1:
        print(
            f"{last.pairs / first.pairs:.1f} times the pairs: "
            f"{last.parent_mb / first.parent_mb:.2f} times the parent's peak, "
            f"{last.sum_mb / first.sum_mb:.2f} times the sum's, "
            f"{last.seconds / first.seconds:.1f} times the seconds"
        )


def show(measured: PreprocessMeasurement) -> None:
    print(
        f"{measured.pairs:>9,} pairs  {measured.seconds:8.1f} s  "
        f"{measured.pairs / measured.seconds:9,.0f} pairs/s  peak {measured.parent_mb:7.0f} MB "
        f"in the parent, {measured.sum_mb:7.0f} MB in all processes",
        flush=True,
    )


def measure(folder: Path, pairs: int, *, threads: int | None = None) -> PreprocessMeasurement:
    """Write a corpus and prepare it with the installed program."""
    write_corpus(folder, "train", pairs)
    write_corpus(folder, "valid", 1000)
    command = [
        str(Path(sys.executable).with_name("seq2seq")), "preprocess",
        *(str(folder / f"train.{side}") for side in ("aa", "bb")), str(folder / "store"),
        "--valid-source", str(folder / "valid.aa"), "--valid-target", str(folder / "valid.bb"),
        *(["--threads", str(threads)] if threads else []),
    ]  # fmt: skip
    began, parent_peak, sum_peak = time.monotonic(), 0, 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            parent, children = resident(watched)
            parent_peak, sum_peak = max(parent_peak, parent), max(sum_peak, parent + children)
            time.sleep(INTERVAL)
    if process.returncode:
        sys.exit(f"preprocess failed with exit code {process.returncode}")
    seconds = time.monotonic() - began
    return PreprocessMeasurement(pairs, seconds, parent_peak / 1e6, sum_peak / 1e6)


def resident(process: psutil.Process) -> tuple[int, int]:
    """Resident bytes of a process, and of all its descendants that still run."""
    own = descendants = 0
    try:
        own = process.memory_info().rss
        children = process.children(recursive=True)
    except psutil.Error:
        return own, 0
    for child in children:
        try:
            descendants += child.memory_info().rss
        except psutil.Error:
            continue
    return own, descendants


def write_corpus(folder: Path, name: str, pairs: int) -> None:
    """Write random pseudo-words by Zipf's law, others on each side; the same in every call."""
    rng = random.Random(name)
    dictionaries = [words(seed) for seed in ("aa", "bb")]
    sums = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    with (folder / f"{name}.aa").open("w") as source, (folder / f"{name}.bb").open("w") as target:
        for _ in range(pairs):
            length = min(max(int(rng.lognormvariate(2.5, 0.5)), 2), MAX_LENGTH)
            ranks = [bisect.bisect(sums, rng.random() * sums[-1]) for _ in range(length)]
            for file, dictionary in zip((source, target), dictionaries, strict=True):
                file.write(" ".join([dictionary[min(r, VOCABULARY - 1)] for r in ranks]) + "\n")


def words(seed: str) -> list[str]:
    """Pseudo-words of a language, the frequent and short ones first."""
    rng, known = random.Random(f"words:{seed}"), dict[str, None]()
    while len(known) < VOCABULARY:
        syllables = 1 + (len(known) > 50) + (len(known) > 2000) + (rng.random() < 0.3)
        known["".join(rng.choices(SYLLABLES, k=syllables))] = None
    return list(known)


if __name__ == "__main__":
    main()
