"""How fast systems translate: each with a model of the same sizes, trained for the same minutes.

Every system is started as its users start it, on a text and on that text's first sentence; the
difference is the time of the other sentences, without start-up and without the model's loading.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import corpus, machine, measurement, ours
from benchmarks.job import Job, Search
from benchmarks.quality import TestSet, cached, command, log_of
from data.corpus import read_lines
from data.token_store import TokenStore
from data.tokenization import Tokenizer
from seq2seq.system.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A system with its model, and in ours the options of one search."""

    name: str  # such as "ours in int8"
    job: Job
    python: Path
    mark: float  # seconds of training
    options: tuple[str, ...] = ()  # ours alone

    @property
    def is_ours(self) -> bool:
        return self.job.system == "ours"


@dataclass(frozen=True)
class Measurement:
    """One translation of one text by one system."""

    system: str
    search: str
    round: int
    sentences: int  # that `seconds` is the time of
    seconds: float
    startup: float  # seconds that one sentence took as a whole process
    bleu: float | None  # None where lengths are held
    load: float  # load average of the minute before

    @property
    def sentences_per_second(self) -> float:
        return self.sentences / self.seconds


def train_all(
    jobs: dict[str, tuple[Job, Path]], store: TokenStore, *, minutes: float
) -> list[Trained]:
    """Train each system; one that the folder has already, by the same job, is not trained again."""
    trained = []
    for name, (job, python) in jobs.items():
        marked = replace(job, marks=(60 * minutes,))
        request = {"store": store.sha256, "job": asdict(marked)}
        cached(job.folder / "trained.json", request, lambda: _train(marked, python))  # noqa: B023
        trained.append(Trained(name=name, job=marked, python=python, mark=60 * minutes))
        measurement.say(f"{name}: trained for {minutes:g} minutes")
    return trained


def _train(job: Job, python: Path) -> dict[str, Any]:
    if job.system != "ours":
        return measurement.run(job, python)
    job.folder.mkdir(parents=True, exist_ok=True)
    run = run_of(job)
    if run.exists():  # begun by a benchmark that was interrupted
        run.rename(run.with_name(f"{run.name}-left-{time.time_ns()}"))
    command(ours.training_of_sizes(job, run, minutes=job.marks[0] / 60), job, log_of(run))
    return {}


def run_of(job: Job) -> Path:
    return job.folder / "run"


def variants(trained: Sequence[Trained], variant_options: Sequence[str]) -> list[Trained]:
    """The systems, and ours once for each of the options.

    variant_options: options of `seq2seq translate`, such as "--precision int8"; "" is its defaults
    """
    found = []
    for each in trained:
        if not each.is_ours:
            found.append(each)
            continue
        for given in variant_options:
            name = f"ours {given}".strip()
            found.append(replace(each, name=name, options=tuple(given.split())))
    return found


def measure_rounds(
    systems: Sequence[Trained],
    searches: Sequence[Search],
    test: TestSet,
    tokenizer: Tokenizer,
    *,
    rounds: int,
    folder: Path,
) -> Iterator[Measurement]:
    """Translate A B C A B C ..., so that a slow phase of the machine slows all systems."""
    texts = _write_texts(test, tokenizer, folder)
    for system in systems:
        if system.is_ours:  # a first use may learn a shortlist
            _seconds(system, Search(), texts.first, system.job.folder / "translations")
    for number in range(1, rounds + 1):
        for search in searches:
            for system in systems:
                found = measure(system, search, texts, test, tokenizer, number)
                measurement.say(
                    f"round {number}: {search.name}: {system.name} "
                    f"{found.sentences_per_second:.1f} sentences/s"
                )
                yield found


@dataclass(frozen=True)
class Texts:
    """A text and its first sentence, as it is and as pieces."""

    whole: Path
    first: Path
    whole_pieces: Path
    first_pieces: Path


def _write_texts(test: TestSet, tokenizer: Tokenizer, folder: Path) -> Texts:
    lines = list(read_lines(test.sources))
    pieces = [" ".join(tokenizer.pieces(tokenizer.encode(line))) for line in lines]
    names = ("whole", "first", "whole.pieces", "first.pieces")
    paths = [folder / name for name in names]
    for path, content in zip(paths, (lines, lines[:1], pieces, pieces[:1]), strict=True):
        corpus.write_lines(path, content)
    return Texts(*paths)


def measure(
    system: Trained,
    search: Search,
    texts: Texts,
    test: TestSet,
    tokenizer: Tokenizer,
    number: int,
) -> Measurement:
    load = machine.load_average()
    own = system.is_ours
    output = system.job.folder / "translations"
    startup = _seconds(system, search, texts.first if own else texts.first_pieces, output)
    whole = _seconds(system, search, texts.whole if own else texts.whole_pieces, output)
    lines = list(read_lines(output))
    bleu = None
    if search.length is None:
        text = lines if own else corpus.join_pieces(lines, tokenizer)
        bleu = test.score(text)["bleu"]
    return Measurement(
        system.name, search.name, number, len(lines) - 1, whole - startup, startup, bleu, load
    )


def _seconds(system: Trained, search: Search, source: Path, output: Path) -> float:
    """The time of a whole process that translates a file. Raises TrainingError."""
    job = system.job
    if system.is_ours:
        words = ours.search_command(job, run_of(job), source, search, system.options)
    else:
        words = [str(system.python), *peer_arguments(system, search, source, output)]
    return seconds_of(system, words, source, output)


def peer_arguments(system: Trained, search: Search, source: Path, output: Path) -> list[str]:
    """The arguments of the Python interpreter with which another trainer translates a file."""
    module = import_module(f"benchmarks.{system.job.system}")
    return list(module.translation(system.job, system.mark, source, output, search=search))


def seconds_of(system: Trained, words: Sequence[str], source: Path, output: Path) -> float:
    """The time of a system's process, which translates `source`. Raises TrainingError.

    output: what ours prints goes there, and what a peer prints into a log beside it
    """
    job, log = system.job, output.with_name("translation.log")
    written = output if system.is_ours else log
    began = time.perf_counter()
    with log.open("w") as errors, written.open("w") as results, source.open("rb") as given:
        done = subprocess.run(
            words,
            stdin=given,
            stdout=results,
            stderr=errors,
            env=measurement.child_environment(job.threads, ours=system.is_ours),
        )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise measurement.TrainingError.from_log(job.system, done.returncode, log)
    return seconds


def request_of(test: TestSet) -> dict[str, Any]:
    """The path and the hash of the sources that were translated, as JSON values."""
    return {"sources": str(test.sources), "sha256": sha256_of(test.sources)}
