"""Speed and memory of `seq2seq preprocess` on random corpora, and of the start of a training.

    python scripts/benchmark_preprocess.py --pairs 500000 5000000
    python scripts/benchmark_preprocess.py --pairs 1000000 10000000 --shards 8 --train --threads 1

Memory must not grow with the corpus: peaks are the resident memory of the parent process, and the
sum over it and its workers, without pages of files, such as memory maps and libraries. Shards are
prepared one after the other, as each machine would alone. A training starts with recipe `small`;
its time goes from the start of the program to the first update in `metrics.jsonl`.
"""

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

VOCABULARY = 50_000  # words a side
SYLLABLES = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "s", "r")]
MAX_LENGTH = 40  # words
BLOCK = 100_000  # pairs written at a time
INTERVAL = 0.05  # seconds between two measurements of memory
PROGRAM = str(Path(sys.executable).with_name("seq2seq"))


@dataclass(frozen=True)
class Measurement:
    """A step and the peaks of its memory."""

    pairs: int
    step: str
    seconds: float
    cpu_seconds: float  # of all processes: on a busy machine it says more
    parent_mb: float
    sum_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--threads", type=int, help="processes that encode; all cores if left out")
    parser.add_argument("--shards", type=int, help="prepare it in so many shards")
    parser.add_argument("--train", action="store_true", help="also start a training")
    parser.add_argument(
        "--folder", type=Path, help="where corpora and stores are written, and deleted"
    )
    arguments = parser.parse_args()
    steps = list[list[Measurement]]()
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=arguments.folder) as folder:
            steps.append(measure(Path(folder), pairs, arguments))
    for first, last in zip(steps[0], steps[-1], strict=True):
        if first != last:
            print(
                f"{last.step}: {last.pairs / first.pairs:.1f} times the pairs, "
                f"{last.parent_mb / first.parent_mb:.2f} times the parent's peak, "
                f"{last.sum_mb / first.sum_mb:.2f} times the sum's, "
                f"{last.cpu_seconds / first.cpu_seconds:.1f} times the seconds of CPU"
            )


def measure(folder: Path, pairs: int, arguments: argparse.Namespace) -> list[Measurement]:
    """Write a corpus, prepare it with the installed program, and perhaps start a training."""
    write_corpus(folder, "train", pairs)
    write_corpus(folder, "valid", 1000)
    show_size("text", [folder / "train.aa", folder / "train.bb"])
    store, run = folder / "store", folder / "run"
    prepare = [
        "preprocess", *(str(folder / f"train.{side}") for side in ("aa", "bb")), str(store),
        "--valid-source", str(folder / "valid.aa"), "--valid-target", str(folder / "valid.bb"),
        *(["--threads", str(arguments.threads)] if arguments.threads else []),
    ]  # fmt: skip
    steps = {"preprocess": prepare}
    if count := arguments.shards:
        shards = {f"shard {i}/{count}": ["--shard", f"{i}/{count}"] for i in range(1, count + 1)}
        options = {"plan": ["--plan-shards", str(count)], **shards, "merge": ["--merge-shards"]}
        steps = {name: [*prepare, *option] for name, option in options.items()}
    measured = [watch(pairs, name, command) for name, command in steps.items()]
    show_size("store", list(store.iterdir()))
    if arguments.train:
        command = [
            "train", str(store), str(run), "--recipe", "small", "--device", "cpu",
            "--set", "training.log_every=1", "--threads", str(arguments.threads or 1),
        ]  # fmt: skip
        metrics = run / "metrics.jsonl"
        measured.append(
            watch(
                pairs,
                "first update",
                command,
                until=lambda: metrics.is_file() and b"\n" in metrics.read_bytes(),
            )
        )
        shutil.rmtree(run)
    return measured


def watch(
    pairs: int, step: str, command: list[str], *, until: Callable[[], bool] = lambda: False
) -> Measurement:
    """Run the program to its end, or until a condition holds; print what it took."""
    began, parent_peak, sum_peak = time.monotonic(), 0, 0
    used = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    with subprocess.Popen(
        [PROGRAM, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            parent, children = resident(watched)
            parent_peak, sum_peak = max(parent_peak, parent), max(sum_peak, parent + children)
            if until():
                seconds, cpu_seconds = time.monotonic() - began, sum(watched.cpu_times()[:4])
                process.terminate()
                break
            time.sleep(INTERVAL)
        else:
            seconds = time.monotonic() - began
            cpu_seconds = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - used
            if process.returncode:
                sys.exit(f"{step} failed with exit code {process.returncode}")
    peaks = parent_peak / 1e6, sum_peak / 1e6
    print(
        f"{pairs:>10,} pairs  {step:<12} {seconds:8.1f} s  {cpu_seconds:8.1f} s of CPU  peak "
        f"{peaks[0]:6.0f} MB in the parent, {peaks[1]:6.0f} MB in all processes",
        flush=True,
    )
    return Measurement(pairs, step, seconds, cpu_seconds, *peaks)


def show_size(name: str, files: list[Path]) -> None:
    print(f"{name}: {sum(file.stat().st_size for file in files) / 1e6:,.0f} MB", flush=True)


def resident(process: psutil.Process) -> tuple[int, int]:
    """Resident bytes of a process, and of all its descendants that still run."""
    own = descendants = 0
    try:
        own = without_files(process)
        children = process.children(recursive=True)
    except psutil.Error:
        return own, 0
    for child in children:
        try:
            descendants += without_files(child)
        except psutil.Error:
            continue
    return own, descendants


def without_files(process: psutil.Process) -> int:
    """Resident bytes of a process that are no pages of files."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def write_corpus(folder: Path, name: str, pairs: int) -> None:
    """Write random pseudo-words by Zipf's law, others on each side; the same in every call."""
    generator = np.random.default_rng([*name.encode()])
    dictionaries = [np.array(words(seed), object) for seed in ("aa", "bb")]
    sums = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    with (folder / f"{name}.aa").open("w") as source, (folder / f"{name}.bb").open("w") as target:
        for begin in range(0, pairs, BLOCK):
            drawn = generator.lognormal(2.5, 0.5, min(BLOCK, pairs - begin))
            ends = np.cumsum(np.clip(drawn.astype(int), 2, MAX_LENGTH)).tolist()
            ranks = np.searchsorted(sums, generator.random(ends[-1]) * sums[-1])
            bounds = list(zip([0, *ends], ends, strict=False))
            for file, dictionary in zip((source, target), dictionaries, strict=True):
                text = dictionary[np.minimum(ranks, VOCABULARY - 1)].tolist()
                file.writelines(" ".join(text[first:last]) + "\n" for first, last in bounds)


def words(seed: str) -> list[str]:
    """Pseudo-words of a language, the frequent and short ones first."""
    rng, known = random.Random(f"words:{seed}"), dict[str, None]()
    while len(known) < VOCABULARY:
        syllables = 1 + (len(known) > 50) + (len(known) > 2000) + (rng.random() < 0.3)
        known["".join(rng.choices(SYLLABLES, k=syllables))] = None
    return list(known)


if __name__ == "__main__":
    main()
