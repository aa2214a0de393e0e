"""One process against several ranks on the same updates: losses, speed, share of communication.

    python scripts/benchmark_scale.py STORE [--processes 2] [--updates 120] [--bfloat16]

Trains a recipe for a few updates, first by one process with as many threads as there will be ranks,
then by the ranks with one thread each, in float32 so that losses can be compared. Then it computes
from the measured time of an update, and from the size of the gradient, what several machines or
GPUs would gain: with the same batch (strong scaling) and with a batch that grows with them (weak).

Nothing else may run meanwhile. docs/scale.md has the results.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from installed import run_program, set_options

NETWORKS = {"1 Gbit/s": 0.125e9, "10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9, "NVLink": 200e9}
"""Bytes a second in each direction; of NVLink what a sum over eight GPUs reaches."""
MACHINES = (2, 4, 8)


@dataclass(frozen=True)
class Measured:
    """What a run tells about its speed."""

    losses: list[float]  # objective per token, of each update
    tokens: float  # target tokens in an update
    tokens_per_second: float  # median over the updates
    communication: float  # share of the time, waiting for slower ranks included
    parameters: int
    bleu: float

    @property
    def update_seconds(self) -> float:
        return self.tokens / self.tokens_per_second

    @classmethod
    def of(cls, run: Path) -> "Measured":
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        updates = [line for line in lines if line["event"] == "update"]
        log = (run / "train.log").read_text()
        speeds = [float(found.replace(",", "")) for found in re.findall(r"([\d,]+) tokens/s", log)]
        shares = re.findall(r"where the time went: .*communication (\d+)%", log)
        found = re.search(r"([\d,]+) parameters", log)
        assert found
        return cls(
            losses=[line["smoothed_nats_per_token"] for line in updates],
            tokens=median(line["tokens"] for line in updates),
            tokens_per_second=median(speeds[len(speeds) // 4 :]),
            communication=int(shares[-1]) / 100 if shares else 0.0,
            parameters=int(found[1].replace(",", "")),
            bleu=[line["bleu"] for line in lines if line["event"] == "validation"][-1],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--updates", type=int, default=120)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--bfloat16", action="store_true", help="products as they are used")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    options = training_options(arguments.updates, arguments.recipe, arguments.set)
    options += set_options(["training.precision=bfloat16"] if arguments.bfloat16 else [])
    count = arguments.processes
    with tempfile.TemporaryDirectory() as name:
        alone, shared = Path(name) / "alone", Path(name) / "shared"
        train = ("train", str(arguments.store))
        run_program(*train, str(alone), *options, "--threads", str(count))
        run_program(*train, str(shared), *options, "--threads", "1", "--processes", str(count))
        one, several = Measured.of(alone), Measured.of(shared)
    print_comparison(one, several, count)
    print_projection(one)


def training_options(updates: int, recipe: str, settings: Sequence[str]) -> list[str]:
    """A training in float32 that reports every update and is validated at its end."""
    fixed = (
        f"training.updates={updates}", f"training.validate_every={updates}", "training.log_every=1",
        "training.precision=float32", "training.profile=true", "training.patience=0",
        "training.validation_sentences=100",
    )  # fmt: skip
    return ["--recipe", recipe, "--device", "cpu", *set_options([*fixed, *settings])]


def print_comparison(one: Measured, several: Measured, count: int) -> None:
    rows = [
        (f"1 process, {count} threads", one),
        (f"{count} processes, 1 thread each", several),
    ]
    print("| | tokens/s | ms an update | communication | last loss | BLEU |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, found in rows:
        print(
            f"| {name} | {found.tokens_per_second:,.0f} | {1000 * found.update_seconds:.0f} | "
            f"{found.communication:.0%} | {found.losses[-1]:.6f} | {found.bleu:.2f} |"
        )
    differences = [abs(a - b) for a, b in zip(one.losses, several.losses, strict=True)]
    first, largest = max(differences[:10]), max(differences)
    print(f"\nlargest difference of a loss: {first:.1e} in 10 updates, {largest:.1e} in all\n")


def print_projection(one: Measured) -> None:
    """Speed-ups over one machine, if an update takes the measured time there."""
    gradient = 4 * one.parameters  # bytes
    print(
        f"an update: {1000 * one.update_seconds:.0f} ms, {one.tokens:,.0f} target tokens, "
        f"{gradient / 1e6:.1f} MB of gradient\n"
    )
    names = [f"{n} {kind}" for kind in ("strong", "weak") for n in MACHINES]
    print("| network | ms to sum, 8 machines | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * (1 + len(names)))
    for network, speed in NETWORKS.items():
        sums = {n: summing_seconds(gradient, n, speed) for n in MACHINES}
        strong = [one.update_seconds / (one.update_seconds / n + sums[n]) for n in MACHINES]
        weak = [n * one.update_seconds / (one.update_seconds + sums[n]) for n in MACHINES]
        cells = [f"{1000 * sums[8]:.0f}", *(f"{gain:.1f}" for gain in (*strong, *weak))]
        print(f"| {network} | " + " | ".join(cells) + " |")
    sys.stdout.flush()


def summing_seconds(size: int, ranks: int, bytes_per_second: float) -> float:
    """A sum of `size` bytes over a ring, each of whose members sends 2 (n - 1) / n of them."""
    return 2 * (ranks - 1) / ranks * size / bytes_per_second


if __name__ == "__main__":
    main()
