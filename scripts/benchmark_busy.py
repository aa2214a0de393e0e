"""Training beside another program that uses a core: target tokens a second, by threads.

    python scripts/benchmark_busy.py STORE --updates 400

Trains the recipe several times from the shell, on one thread, on as many as there are cores, and
with no --threads, which leaves busy cores to others; with the machine quiet, and with a process
beside it that computes all the time. The speed is that of the second half of the updates, when the
number of threads has settled. Nothing else should run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from installed import run_program

from seq2seq.system.cores import usable_cores

BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--updates", type=int, default=400, help="of each training")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    choices = {"1": ("--threads=1",), "all": (f"--threads={usable_cores()}",), "left out": ()}
    speeds: dict[tuple[str, int], list[float]] = {}
    for _ in range(asked.rounds):
        for busy in (0, 1):
            for name, options in choices.items():
                with busy_processes(busy):
                    speed = tokens_per_second(asked, options)
                speeds.setdefault((name, busy), []).append(speed)
                print(f"threads {name}, {busy} busy: {speed:,.0f}", file=sys.stderr, flush=True)
    print("| --threads | quiet | with one busy process |")
    print("| --- | ---: | ---: |")
    for name in choices:
        quiet, beside = (median(speeds[name, busy]) for busy in (0, 1))
        print(f"| {name} | {quiet:,.0f} | {beside:,.0f} |")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute until the end of the block."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def tokens_per_second(asked: argparse.Namespace, options: tuple[str, ...]) -> float:
    """Target tokens a second in the second half of a training."""
    half = asked.updates // 2
    settings = {"updates": 2 * half, "validate_every": half, "validation_sentences": 1,
                "perplexity_sentences": 1}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run_program(
            "train", str(asked.store), str(run), f"--recipe={asked.recipe}",
            *(f"--set=training.{name}={value}" for name, value in settings.items()), *options,
        )  # fmt: skip
        lines = (run / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    return float((last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"]))


if __name__ == "__main__":
    main()
