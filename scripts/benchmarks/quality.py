"""BLEU after a number of minutes of training, each system with its own search and a beam of 5."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from sacrebleu.metrics.bleu import BLEU

from benchmarks import corpus, measurement, ours
from benchmarks.job import Job, Search
from cli.runs.config import read_recipe
from cli.runs.directory import RunDirectory
from cli.runs.history import AverageLine
from data.corpus import read_lines
from data.token_store import TokenStore
from data.tokenization import Tokenizer
from seq2seq.errors import CorpusError
from seq2seq.system.files import read_json, sha256_of, write_json

T = TypeVar("T")


@dataclass(frozen=True)
class TestSet:
    """Sentences to translate and their untouched references."""

    sources: Path
    references: list[str]

    @classmethod
    def read(cls, sources: Path, references: Path) -> TestSet:
        """Raises CorpusError for unequal lengths, and for blank lines: Joey NMT leaves them out."""
        expected, lines = list(read_lines(references)), list(read_lines(sources))
        if len(expected) != len(lines) or not all(line.strip() for line in lines):
            raise CorpusError(
                f"{sources} and {references} must have a sentence on every line, and as many",
                hint="look at them with `seq2seq check`",
            )
        return cls(sources.absolute(), expected)

    def score(self, translations: list[str]) -> dict[str, Any]:
        """Cased, detokenised BLEU, 13a."""
        metric = BLEU(tokenize="13a")
        score = metric.corpus_score(translations, [self.references]).score
        return {"bleu": score, "signature": str(metric.get_signature())}


def measure_peer(
    job: Job, python: Path, test: TestSet, tokenizer: Tokenizer
) -> list[dict[str, Any]]:
    """Train a peer up to the last mark; a row of the table for the checkpoint of each mark."""
    result = measurement.run(job, python)
    pieces = job.folder / "test.pieces"
    encoded = (tokenizer.pieces(tokenizer.encode(line)) for line in read_lines(test.sources))
    corpus.write_lines(pieces, [" ".join(sentence) for sentence in encoded])
    rows = []
    for mark in job.marks:
        texts = corpus.join_pieces(translate(job, python, mark, pieces), tokenizer)
        updates = result["marks"][f"{mark:g}"]["updates"]
        rows.append(make_row(job.system, mark / 60, updates, test.score(texts)))
    return rows


def translate(job: Job, python: Path, mark: float, pieces: Path) -> list[str]:
    """The translations, as pieces, by a peer's checkpoint of a mark."""
    output = job.folder / f"translations-{mark:.0f}.pieces"
    peer = import_module(f"benchmarks.{job.system}")
    arguments = peer.translation(job, mark, pieces, output, search=Search())
    command([str(python), *arguments], job, log_of(output), standard_input=pieces)
    return list(read_lines(output))


def measure_ours(job: Job, recipe: str | None, minutes: float, test: TestSet) -> dict[str, Any]:
    """Train ours for some minutes, in a run of its own: its learning rate decays to the end."""
    job.folder.mkdir(parents=True, exist_ok=True)
    references = job.folder / "references"
    corpus.write_lines(references, test.references)
    run, texts = job.folder / f"run-{minutes:g}", job.folder / f"translations-{minutes:g}"
    shutil.rmtree(run, ignore_errors=True)  # left by an interrupted benchmark
    command(ours.training(job, run, recipe=recipe, minutes=minutes), job, log_of(run))
    command(ours.translation(job, run, test.sources, references, texts), job, log_of(texts))
    scored = test.score(list(read_lines(texts)))
    return make_row(f"ours in {job.precision}", minutes, last_update(run), scored)


def log_of(path: Path) -> Path:
    """The log file of the program that writes `path`."""
    return path.with_name(f"{path.name}.log")


def last_update(run: Path) -> int:
    """The number of the last update in a run's metrics."""
    lines = RunDirectory(run).read_metrics()
    return max(line.update for line in lines if not isinstance(line, AverageLine))


def make_row(name: str, minutes: float, updates: int, scored: dict[str, Any]) -> dict[str, Any]:
    found = {"system": name, "minutes": minutes, "updates": updates, **scored}
    measurement.say(f"{name}: {scored['bleu']:.1f} BLEU after {minutes:g} minutes")
    return found


def command(
    words: list[str], job: Job, log: Path, *, standard_input: Path = Path(os.devnull)
) -> None:
    """Run one program to its end. Raises TrainingError."""
    with log.open("w", encoding="utf-8") as stream, standard_input.open("rb") as given:
        done = subprocess.run(
            words, stdin=given, stdout=stream, stderr=subprocess.STDOUT,
            env=measurement.child_environment(job.threads, ours=job.system == "ours"),
        )  # fmt: skip
    if done.returncode:
        raise measurement.TrainingError.from_log(job.system, done.returncode, log)


def measure_all(
    jobs: dict[str, tuple[Job, Path]],
    store: TokenStore,
    *,
    recipe: str | None,
    minutes: Sequence[float],
    test: TestSet,
) -> list[dict[str, Any]]:
    """Measure one system after the other, all trained on the store.

    What an interrupted benchmark has measured in the same folder is not measured again.
    """
    rows = []
    tokenizer = store.tokenizer("source")
    marks = tuple(60 * m for m in minutes)
    settings = read_recipe(recipe) if recipe else None
    about = {"store": store.sha256, "test": sha256_of(test.sources), "recipe": settings}
    for job, python in jobs.values():
        marked = replace(job, marks=marks)
        if job.system == "ours":
            for mark in minutes:
                kept = job.folder / f"row-{mark:g}.json"
                measure = partial(measure_ours, job, recipe, mark, test)
                rows.append(cached(kept, about | {"job": asdict(job)}, measure))
        else:
            measure_marks = partial(measure_peer, marked, python, test, tokenizer)
            rows += cached(job.folder / "rows.json", about | {"job": asdict(marked)}, measure_marks)
    return rows


def cached(path: Path, request: dict[str, Any], compute: Callable[[], T]) -> T:
    """The result of the same request in the file, or else a new result, which is put there."""
    request = json.loads(json.dumps(request, default=str))
    if path.is_file():
        found = read_json(path)
        if found["asked"] == request:
            return found["made"]  # type: ignore[no-any-return]
    result = compute()
    write_json(path, {"asked": request, "made": result})
    return result
