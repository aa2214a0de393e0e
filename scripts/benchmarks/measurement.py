"""Rounds of trainings, one system after the other, each in a process; medians and ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import machine, products
from benchmarks.job import Job
from benchmarks.products import MeanBatch
from benchmarks.timer import Counts

SCRIPTS = Path(__file__).parents[1]


class TrainingError(Exception):
    """A system failed to train or translate; the message has the end of its log."""

    @classmethod
    def from_log(cls, system: str, code: int, log: Path) -> TrainingError:
        end = "\n".join(log.read_text(encoding="utf-8").splitlines()[-12:])
        return cls(f"{system} failed with exit code {code}\n{end}\nthe whole log: {log}")


@dataclass(frozen=True)
class Measurement:
    """One training of one system."""

    system: str
    round: int
    parameters: int
    seconds: float
    inside: Counts  # after the warm-up, in `seconds`
    warmup: Counts
    torch: str
    threads: int
    load: float  # load average of the minute before
    others: tuple[str, ...]  # other processes that used the CPU just before

    @property
    def tokens_per_second(self) -> float:
        """Target tokens without padding, EOS included."""
        return self.inside.target_tokens / self.seconds

    @property
    def all(self) -> Counts:
        return self.warmup + self.inside

    @property
    def mean_batch(self) -> MeanBatch:
        inside = self.inside
        return MeanBatch(
            round(inside.sentences / inside.updates),
            round(inside.source_tokens / inside.sentences),
            round(inside.target_tokens / inside.sentences),
        )


@dataclass(frozen=True)
class Spread:
    """A median with the minimum and the maximum."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def measure_rounds(jobs: dict[str, tuple[Job, Path]], count: int) -> list[Measurement]:
    """Train A B C A B C ..., so that a slow phase of the machine slows all systems."""
    measured = []
    for number in range(1, count + 1):
        for name, (job, python) in jobs.items():
            folder = job.folder / f"round-{number}"
            measured.append(measure(name, replace(job, folder=folder, seed=number), python, number))
            last = measured[-1]
            say(f"round {number}: {name} {last.tokens_per_second:,.0f} target tokens/s")
    return measured


def measure(name: str, job: Job, python: Path, number: int) -> Measurement:
    load, busy = machine.load_average(), warn_of_busy_processes(f"{name} begins")
    result = run(job, python)
    return Measurement(
        system=name,
        round=number,
        parameters=result["parameters"],
        seconds=result["seconds"],
        inside=Counts(**result["inside"]),
        warmup=Counts(**result["warmup"]),
        torch=result["torch"],
        threads=result["threads"],
        load=load,
        others=busy,
    )


def warn_of_busy_processes(when: str) -> tuple[str, ...]:
    """Other processes that use the CPU, with a warning if there are any."""
    busy = tuple(machine.busy_processes())
    if busy:
        say(f"warning: others use the CPU before {when}: {', '.join(busy)}")
    return busy


def run(job: Job, python: Path) -> dict[str, Any]:
    """Train in a process of its own, and return its result. Raises TrainingError."""
    log = job.write().with_name("log.txt")
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [str(python), "-m", "benchmarks.child", str(job.folder / "job.json")],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            env=child_environment(job.threads, ours=job.system == "ours", device=job.device),
        )  # fmt: skip
    if done.returncode:
        raise TrainingError.from_log(job.system, done.returncode, log)
    return dict(json.loads(job.result.read_text(encoding="utf-8")))


def child_environment(threads: int, *, ours: bool, device: str = "cpu") -> dict[str, str]:
    """Environment variables of a child process; a peer's finds only this package of ours."""
    from cli.runs.device import SPINS

    path = [SCRIPTS, SCRIPTS.parent] if ours else [SCRIPTS]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}),
        **({"GOMP_SPINCOUNT": SPINS} if ours else {}),  # as the program sets it
    }


def speed(measured: Sequence[Measurement], system: str) -> Spread:
    """Target tokens a second over the rounds."""
    return Spread.of([m.tokens_per_second for m in measured if m.system == system])


def ratio(measured: Sequence[Measurement], ours: str, peer: str) -> Spread:
    """Our speed divided by a peer's, round by round."""
    mine = {m.round: m.tokens_per_second for m in measured if m.system == ours}
    return Spread.of([mine[m.round] / m.tokens_per_second for m in measured if m.system == peer])


def token_difference(measurement: Measurement, *, sentences: int, tokens: int) -> str | None:
    """In words, how what was consumed differs from the data; None if it does not."""
    consumed = measurement.all
    if consumed.sentences == sentences and consumed.target_tokens == tokens:
        return None
    missing = sentences - consumed.sentences
    return (
        f"{measurement.system} consumed {consumed.target_tokens:,} target tokens of {tokens:,}: "
        f"it left out {missing:,} pairs of {sentences:,}"
    )


def token_differences(measured: Sequence[Measurement], *, sentences: int, tokens: int) -> list[str]:
    """The differences between what systems consumed and the data, each one once."""
    checked = (token_difference(m, sentences=sentences, tokens=tokens) for m in measured)
    return list(dict.fromkeys(note for note in checked if note))


def systems(measured: Sequence[Measurement]) -> list[str]:
    """The names of the systems measured, in their order."""
    return list(dict.fromkeys(m.system for m in measured))


def product_limit(measured: Sequence[Measurement], name: str, job: Job) -> dict[str, Any]:
    """The time of the matrix products of our mean update, and the share of that limit we reach."""
    batch = next(m for m in measured if m.system == name).mean_batch
    listed = products.update(job.sizes, batch, job.order)
    busy = warn_of_busy_processes("the products are timed")
    seconds = products.seconds(
        listed, precision=job.precision, threads=job.threads, device=job.device
    )
    limit = batch.target_tokens / seconds
    forward = sum(p.multiply_adds for p in products.forward(job.sizes, batch, job.order))
    of_peak = {}
    if job.device == "cuda":
        peak = products.peak(job.precision, device=job.device)
        work = sum(p.multiply_adds for p in listed) / batch.target_tokens
        of_peak = {
            "peak_multiply_adds_a_second": peak,
            "share_of_peak": speed(measured, name).median * work / peak,
        }
    return of_peak | {
        "mean_batch": asdict(batch),
        "milliseconds_an_update": 1000 * seconds,
        "tokens_per_second": limit,
        "million_multiply_adds_a_token_forward": forward / batch.target_tokens / 1e6,
        "others": busy,
        "share_reached": speed(measured, name).median / limit,
    }


def to_json(measured: Sequence[Measurement], ours: Sequence[str]) -> dict[str, Any]:
    """All measurements, speeds and ratios, for JSON."""
    names = systems(measured)
    return {
        "measurements": [asdict(m) | {"tokens_per_second": m.tokens_per_second} for m in measured],
        "tokens_per_second": {s: asdict(speed(measured, s)) for s in names},
        "over": {o: {s: asdict(ratio(measured, o, s)) for s in names} for o in ours},
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
