"""BLEU after so many minutes of training, each system with a beam of 5 of its own."""

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
from benchmarks.job import Job
from cli.runs.config import read_recipe
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
        gold, lines = list(read_lines(references)), list(read_lines(sources))
        if len(gold) != len(lines) or not all(line.strip() for line in lines):
            raise CorpusError(
                f"{sources} and {references} must have a sentence on every line, and as many",
                hint="look at them with `seq2seq check`",
            )
        return cls(sources.absolute(), gold)

    def scored(self, translations: list[str]) -> dict[str, Any]:
        """Cased, detokenised BLEU, 13a."""
        metric = BLEU(tokenize="13a")
        score = metric.corpus_score(translations, [self.references]).score
        return {"bleu": score, "signature": str(metric.get_signature())}


def of_peer(job: Job, python: Path, test: TestSet, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """One training, to its last mark; a row for the checkpoint at each mark."""
    result = measurement.run(job, python)
    pieces = job.folder / "test.pieces"
    encoded = (tokenizer.pieces(tokenizer.encode(line)) for line in read_lines(test.sources))
    corpus.write_lines(pieces, [" ".join(sentence) for sentence in encoded])
    rows = []
    for mark in job.marks:
        texts = corpus.desegmented(translated(job, python, mark, pieces), tokenizer)
        updates = result["marks"][f"{mark:g}"]["updates"]
        rows.append(row(job.system, mark / 60, updates, test.scored(texts)))
    return rows


def translated(job: Job, python: Path, mark: float, pieces: Path) -> list[str]:
    """The pieces that a peer makes of pieces, with its model at a mark."""
    output = job.folder / f"translations-{mark:.0f}.pieces"
    arguments = import_module(f"benchmarks.{job.system}").translation(job, mark, pieces, output)
    command([str(python), *arguments], job, beside(output), standard_input=pieces)
    return list(read_lines(output))


def of_ours(job: Job, recipe: str, minutes: float, test: TestSet) -> dict[str, Any]:
    """A run of its own: its learning rate decays towards the end that it is given."""
    job.folder.mkdir(parents=True, exist_ok=True)
    references = job.folder / "references"
    corpus.write_lines(references, test.references)
    run, texts = job.folder / f"run-{minutes:g}", job.folder / f"translations-{minutes:g}"
    shutil.rmtree(run, ignore_errors=True)  # of a benchmark that was broken off
    command(ours.training(job, run, recipe=recipe, minutes=minutes), job, beside(run))
    command(ours.translation(job, run, test.sources, references, texts), job, beside(texts))
    scored = test.scored(list(read_lines(texts)))
    return row(f"ours in {job.precision}", minutes, last_update(run), scored)


def beside(path: Path) -> Path:
    """Where what a program says goes."""
    return path.with_name(f"{path.name}.log")


def last_update(run: Path) -> int:
    told = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return int(json.loads(told[-1])["update"])


def row(name: str, minutes: float, updates: int, scored: dict[str, Any]) -> dict[str, Any]:
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
            env=measurement.surroundings(job.threads, ours=job.system == "ours"),
        )  # fmt: skip
    if done.returncode:
        raise measurement.TrainingError.of(job.system, done.returncode, log)


def rows_of(
    jobs: dict[str, tuple[Job, Path]],
    store: TokenStore,
    *,
    recipe: str,
    minutes: Sequence[float],
    test: TestSet,
) -> list[dict[str, Any]]:
    """One system after the other; the store is the one that all of them train on.

    What a benchmark that was broken off has measured in the same folder is not measured again.
    """
    rows = []
    tokenizer = store.tokenizer("source")
    marks = tuple(60 * m for m in minutes)
    about = {"store": store.sha256, "test": sha256_of(test.sources), "recipe": read_recipe(recipe)}
    for job, python in jobs.values():
        asked = replace(job, marks=marks)
        if job.system == "ours":
            for mark in minutes:
                kept = job.folder / f"row-{mark:g}.json"
                measure = partial(of_ours, job, recipe, mark, test)
                rows.append(once(kept, about | {"job": asdict(job)}, measure))
        else:
            measure_all = partial(of_peer, asked, python, test, tokenizer)
            rows += once(job.folder / "rows.json", about | {"job": asdict(asked)}, measure_all)
    return rows


def once(path: Path, asked: dict[str, Any], make: Callable[[], T]) -> T:
    """What was made of the same request before, or what is made now."""
    asked = json.loads(json.dumps(asked, default=str))
    if path.is_file():
        found = read_json(path)
        if found["asked"] == asked:
            return found["made"]  # type: ignore[no-any-return]
    made = make()
    write_json(path, {"asked": asked, "made": made})
    return made
