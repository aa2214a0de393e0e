"""BLEU after so many minutes of training, each system with a beam of 5 of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU

from benchmarks import corpus, measurement, ours
from benchmarks.job import Job
from data.corpus import read_lines
from data.token_store import TokenStore
from data.tokenization import Tokenizer
from seq2seq.errors import CorpusError


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
    corpus.write_lines(
        pieces,
        [" ".join(tokenizer.pieces(tokenizer.encode(x))) for x in read_lines(test.sources)],
    )
    rows = []
    for mark in job.marks:
        output = job.folder / f"translations-{mark:.0f}.pieces"
        translate(job, python, mark, pieces, output)
        texts = corpus.desegmented(list(read_lines(output)), tokenizer)
        counts = result["marks"][f"{mark:g}"]
        rows.append(row(job, mark / 60, counts["updates"], test.scored(texts)))
    return rows


def translate(job: Job, python: Path, mark: float, pieces: Path, output: Path) -> None:
    arguments = import_module(f"benchmarks.{job.system}").translation(job, mark, pieces, output)
    command(
        [str(python), *arguments],
        job,
        output.with_suffix(".log"),
        ours=False,
        standard_input=pieces,
    )


def of_ours(job: Job, recipe: str, minutes: Sequence[float], test: TestSet) -> list[dict[str, Any]]:
    """A run of its own for each mark: its learning rate decays towards the end that it is given."""
    rows = []
    program = str(Path(sys.executable).with_name("seq2seq"))
    for mark in minutes:
        run, texts = job.folder / f"run-{mark:g}", job.folder / f"translations-{mark:g}"
        job.folder.mkdir(parents=True, exist_ok=True)
        options = ["--threads", str(job.threads)]
        settings = [f"training.{n}={v}" for n, v in ours.precision(job.precision).items()]
        chosen = [word for setting in settings for word in ("--set", setting)]
        command(
            [
                program, "train", str(job.store), str(run), "--recipe", recipe, "--minutes",
                f"{mark:g}", "--seed", str(job.seed), "--set", "training.updates=1000000",
                *chosen, *options,
            ],
            job, run.with_suffix(".log"), ours=True,
        )  # fmt: skip
        gold = job.folder / "references"
        corpus.write_lines(gold, test.references)
        command(
            [program, "evaluate", str(run), str(test.sources), str(gold), "--beam", "5",
             "--output", str(texts), *options],
            job, texts.with_suffix(".log"), ours=True,
        )  # fmt: skip
        rows.append(row(job, mark, last_update(run), test.scored(list(read_lines(texts)))))
    return rows


def last_update(run: Path) -> int:
    told = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return int(json.loads(told[-1])["update"])


def row(job: Job, minutes: float, updates: int, scored: dict[str, Any]) -> dict[str, Any]:
    found = {"system": job.system, "minutes": minutes, "updates": updates, **scored}
    measurement.say(f"{job.system}: {scored['bleu']:.1f} BLEU after {minutes:g} minutes")
    return found


def command(
    words: list[str], job: Job, log: Path, *, ours: bool, standard_input: Path | None = None
) -> None:
    """Run one program to its end. Raises TrainingError."""
    with (
        log.open("w", encoding="utf-8") as stream,
        (standard_input or Path("/dev/null")).open() as s,
    ):
        done = subprocess.run(
            words, stdin=s, stdout=stream, stderr=subprocess.STDOUT,
            env=measurement.surroundings(job.threads, ours=ours),
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
    """One system after the other; the store is the one that all of them train on."""
    rows = []
    tokenizer = store.tokenizer("source")
    marks = tuple(60 * m for m in minutes)
    for system, (job, python) in jobs.items():
        if system == "ours":
            rows += of_ours(job, recipe, minutes, test)
        else:
            rows += of_peer(replace(job, marks=marks), python, test, tokenizer)
    return rows
