"""Results of a comparison: means and spreads over seeds, speed, and tests of differences."""

import hashlib
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cli.runs.comparison.folder import ComparisonFolder, Result, System, Trial
from cli.runs.directory import RunDirectory
from cli.runs.history import ValidationLine
from data.corpus import read_lines
from seq2seq.errors import ConfigError
from seq2seq.evaluation.quality import random_seed
from seq2seq.evaluation.significance import (
    SAMPLES,
    TESTS,
    PairedScore,
    Test,
    paired_test,
)
from seq2seq.system.files import read_json, write_json

LOWER_IS_BETTER = {"perplexity", "ter", "aer", "parameters", "seconds_to_bleu", "memory"}


class Spread(NamedTuple):
    """Values of several seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a sample; None of a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Tested:
    """A system compared with the baseline by one test."""

    test: Test
    seeds: tuple[int, ...]  # whose translations were joined
    scores: tuple[PairedScore, ...]


@dataclass(frozen=True)
class SystemRow:
    """A system and what was measured on its trials."""

    system: System
    planned: int  # seeds
    results: dict[Trial, Result]  # complete
    failures: tuple[str, ...]  # such as "seed 2 diverged"
    is_baseline: bool
    seconds_to_bleu: Spread | None  # of the seeds that reach it
    tests: tuple[Tested, ...] = ()

    def spread(self, measure: Callable[[Result], float | None]) -> Spread | None:
        """A measure of the complete trials; None where no trial has it."""
        values = [value for each in self.results.values() if (value := measure(each)) is not None]
        return Spread(tuple(values)) if values else None

    @cached_property
    def measures(self) -> dict[str, Spread]:
        """The spread of each measure over the seeds, by the name of its column."""
        found = {
            "perplexity": self.spread(_perplexity),
            "bleu": self.spread(lambda r: r.bleu.score if r.bleu else None),
            "chrf": self.spread(lambda r: r.chrf.score if r.chrf else None),
            "ter": self.spread(lambda r: r.ter.score if r.ter else None),
            "aer": self.spread(lambda r: r.aer),
            "parameters": self.spread(lambda r: r.parameters),
            "updates": self.spread(lambda r: r.updates),
            "seconds": self.spread(lambda r: r.seconds),
            "tokens_per_second": self.spread(lambda r: r.tokens_per_second),
            "seconds_to_bleu": self.seconds_to_bleu,
            "memory": self.spread(lambda r: r.peak_memory),
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class ComparisonTable:
    """Everything that is shown of a comparison."""

    folder: ComparisonFolder
    rows: tuple[SystemRow, ...]
    target_bleu: float | None  # of the validation, that seconds_to_bleu are counted to
    pending: int  # trials without a result

    @property
    def signatures(self) -> list[str]:
        """The sacreBLEU signatures of the scores in the table, each once."""
        results = [result for row in self.rows for result in row.results.values()]
        found = (
            f"{name}|{score.signature}"
            for result in results
            for name, score in (("BLEU", result.bleu), ("chrF2", result.chrf), ("TER", result.ter))
            if score
        )
        return list(dict.fromkeys(found))


SORTABLE = (
    *("system", "perplexity", "bleu", "chrf", "ter", "aer", "parameters"),
    *("tokens_per_second", "seconds_to_bleu", "memory"),
)


def compare_systems(
    folder: ComparisonFolder,
    *,
    baseline: str | None = None,
    sort: str | None = None,
    to_bleu: float | None = None,
    significance: bool = True,
    note: Callable[[str], None],
) -> ComparisonTable:
    """The table of a comparison, also while it is not finished.

    baseline: the system that all others on its store are tested against; None: the first
    sort: one of SORTABLE, the best first; None: the order of the comparison
    to_bleu: of the validation; None: the highest whole number that every trial reaches
    note: is given a line before tests that take long

    Raises ConfigError for a baseline or a column that there is not.
    """
    comparison, results = folder.comparison, folder.results
    names = [system.name for system in comparison.systems]
    if baseline is not None and baseline not in names:
        raise ConfigError(
            f"there is no system {baseline!r} in {folder.path}",
            hint="there are " + ", ".join(names),
        )
    if sort is not None and sort not in SORTABLE:
        raise ConfigError(f"there is no column {sort!r}", hint="sort by " + ", ".join(SORTABLE))
    times = {trial: bleu_by_second(folder, trial) for trial, r in results.items() if _is_done(r)}
    target = to_bleu if to_bleu is not None else _reached_by_all(list(times.values()))
    baselines = _baselines(comparison.systems, baseline)
    rows = []
    for system in comparison.systems:
        own = {trial: result for trial, result in results.items() if trial.system == system}
        rows.append(
            SystemRow(
                system=system,
                planned=len(comparison.seeds),
                results={trial: result for trial, result in own.items() if _is_done(result)},
                failures=tuple(
                    f"seed {trial.seed}: {result.status}"
                    for trial, result in own.items()
                    if not _is_done(result)
                ),
                is_baseline=baselines[system.store] == system,
                seconds_to_bleu=_seconds_to(target, [times[t] for t in own if t in times]),
            )
        )
    if significance:
        rows = list(_with_tests(folder, rows, note))
    return ComparisonTable(
        folder,
        tuple(sorted_rows(rows, sort)),
        target,
        pending=len(comparison.trials) - len(results),
    )


def sorted_rows(rows: Sequence[SystemRow], sort: str | None) -> list[SystemRow]:
    """The best first; systems without the measure last."""
    if sort is None:
        return list(rows)
    if sort == "system":
        return sorted(rows, key=lambda row: row.system.name)
    sign = 1 if sort in LOWER_IS_BETTER else -1

    def rank(row: SystemRow) -> float:
        value = row.measures.get(sort)
        return sign * value.mean if value else math.inf

    return sorted(rows, key=rank)


def bleu_by_second(folder: ComparisonFolder, trial: Trial) -> list[tuple[float, float]]:
    """Seconds trained and BLEU of each validation, in order."""
    run = RunDirectory(folder.run(trial))
    seconds = {curve.update: curve.seconds for curve in run.read_curves()}
    return [
        (seconds[line.update], line.scores.bleu)
        for line in run.read_metrics()
        if isinstance(line, ValidationLine)
        and line.scores.bleu is not None
        and line.update in seconds
    ]


def _perplexity(result: Result) -> float | None:
    nats = result.test_nats_per_token
    return None if nats is None else math.exp(min(nats, 700.0))


def _is_done(result: Result) -> bool:
    return result.status == "complete"


def _reached_by_all(curves: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """The highest whole BLEU that every curve reaches; None below 1 or without curves."""
    highest = [max((bleu for _, bleu in curve), default=0.0) for curve in curves]
    lowest = math.floor(min(highest, default=0.0))
    return float(lowest) if lowest >= 1 else None


def _seconds_to(
    target: float | None, curves: Sequence[Sequence[tuple[float, float]]]
) -> Spread | None:
    if target is None:
        return None
    reached = (next((s for s, bleu in curve if bleu >= target), None) for curve in curves)
    values = tuple(seconds for seconds in reached if seconds is not None)
    return Spread(values) if values else None


def _baselines(systems: Sequence[System], wanted: str | None) -> dict[str, System]:
    """The baseline of each store: the one that is wanted, else the first."""
    found: dict[str, System] = {}
    for system in systems:
        found.setdefault(system.store, system)
    for system in systems:
        if system.name == wanted:
            found[system.store] = system
    return found


# Tests


def _with_tests(
    folder: ComparisonFolder, rows: Sequence[SystemRow], note: Callable[[str], None]
) -> Iterator[SystemRow]:
    cache = _Cache(folder)
    baselines = {row.system.store: row for row in rows if row.is_baseline}
    for row in rows:
        baseline = baselines[row.system.store]
        tests = (
            []
            if row.is_baseline
            else [_tested(folder, baseline, row, t, cache, note) for t in TESTS]
        )
        found = tuple(test for test in tests if test)
        yield SystemRow(**{**row.__dict__, "tests": found})


def _tested(
    folder: ComparisonFolder,
    baseline: SystemRow,
    row: SystemRow,
    test: Test,
    cache: "_Cache",
    note: Callable[[str], None],
) -> Tested | None:
    """The test on the translations of all seeds that both systems have, joined: seed i of one is
    paired with seed i of the other."""
    theirs = {trial.seed: trial for trial in baseline.results}
    pairs = [(theirs[trial.seed], trial) for trial in row.results if trial.seed in theirs]
    if not pairs:
        return None
    _, references = folder.test(row.system.store).read()
    first = [line for trial, _ in pairs for line in read_lines(folder.translations(trial))]
    second = [line for _, trial in pairs for line in read_lines(folder.translations(trial))]
    language = folder.comparison.stores[row.system.store].languages[1]
    key = _hash(test, first, second, references, language)
    scores = cache.get(key)
    if scores is None:
        note(f"testing {row.system.name} against {baseline.system.name}: {test}")
        scores = paired_test(test, first, second, references * len(pairs), target_language=language)
        cache.put(key, scores)
    return Tested(test, tuple(trial.seed for _, trial in pairs), tuple(scores))


def _hash(test: Test, *texts: object) -> str:
    from importlib.metadata import version

    parts = [test, SAMPLES[test], random_seed(), version("sacrebleu"), *texts]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class _Cache:
    """significance.json: tests by the hash of all that they depend on. It may be removed."""

    def __init__(self, folder: ComparisonFolder) -> None:
        self._path = folder.path / "significance.json"
        try:
            self._known = dict(read_json(self._path))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def get(self, key: str) -> list[PairedScore] | None:
        try:
            return [PairedScore(**score) for score in self._known[key]]
        except (KeyError, TypeError):
            return None

    def put(self, key: str, scores: Sequence[PairedScore]) -> None:
        self._known[key] = [score._asdict() for score in scores]
        try:
            write_json(self._path, self._known)
        except OSError:  # a folder that may only be read is shown all the same
            return
