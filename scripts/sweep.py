"""Comparison of settings at equal work, judged on the validation set only.

    seq2seq corpus get multi30k corpus --source-language de --target-language en
    python scripts/sweep.py run scripts/sweeps/small.toml corpus work --results small.jsonl
    python scripts/sweep.py table scripts/sweeps/small.toml small.jsonl --output docs/experiments.md

A plan names trials: what each changes of the plan's base, and why. Every trial is a training by the
installed program, whose best checkpoint translates the validation set. Trials are judged by BLEU
and by nats a sentence, which, unlike perplexity, compare models of other pieces too. What is in the
results already is not done again.
"""

import argparse
import hashlib
import json
import platform
import statistics
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from benchmarks.corpus import target_tokens
from installed import run_program, set_options
from results import add_page_arguments, measure_all, read_results, write_page

from data.token_store import TokenStore


@dataclass(frozen=True)
class Trial:
    """One choice of settings, with one seed."""

    name: str
    why: str
    settings: tuple[str, ...]  # "section.name=value", on top of the plan's base
    seed: int

    @property
    def data_settings(self) -> tuple[str, ...]:
        return tuple(each for each in self.settings if each.startswith("data."))

    @property
    def run_settings(self) -> tuple[str, ...]:
        return tuple(each for each in self.settings if not each.startswith("data."))


@dataclass(frozen=True)
class Plan:
    """The trials to compare."""

    title: str
    recipe: str
    note: str  # for the page
    base: tuple[str, ...]
    trials: tuple[Trial, ...]

    @classmethod
    def read(cls, path: Path) -> "Plan":
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        base = tuple(values.get("base", ()))
        trials = tuple(
            Trial(each["name"], each.get("why", ""), (*base, *each.get("set", ())), seed)
            for each in values["trial"]
            for seed in each.get("seeds", values.get("seeds", [1]))
        )
        return cls(values["title"], values["recipe"], values.get("note", ""), base, trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="train the trials that have no result yet")
    run.add_argument("plan", type=Path)
    run.add_argument("corpus", type=Path, help="a folder that `seq2seq corpus get` made")
    run.add_argument("work", type=Path, help="a folder for stores and runs")
    run.add_argument("--results", type=Path, required=True, help="JSON lines, one a trial")
    run.add_argument("--only", action="append", help="only trials of this name; may be repeated")
    run.add_argument("--jobs", type=int, default=2, help="trainings of one thread at a time")
    run.set_defaults(does=run_plan)
    table = commands.add_parser("table", help="write the results as a page")
    table.add_argument("plan", type=Path)
    add_page_arguments(table)
    table.set_defaults(does=write_table)
    arguments = parser.parse_args()
    arguments.does(arguments)


def run_plan(arguments: argparse.Namespace) -> None:
    plan = Plan.read(arguments.plan)
    known = {(each["name"], each["seed"]) for each in read_results(arguments.results)}
    pending = [
        trial
        for trial in plan.trials
        if (trial.name, trial.seed) not in known
        and (not arguments.only or trial.name in arguments.only)
    ]
    arguments.work.mkdir(parents=True, exist_ok=True)
    for trial in pending:  # stores first: two trials may share one
        prepare_store(trial, arguments.corpus, arguments.work)

    def measure(trial: Trial) -> dict[str, Any]:
        return measure_trial(plan, trial, arguments.corpus, arguments.work)

    for result in measure_all(pending, measure, arguments.results, jobs=arguments.jobs):
        print(f"{result['name']}: BLEU {result['bleu']:.2f}", file=sys.stderr, flush=True)


def languages(corpus: Path) -> tuple[str, str]:
    """Source and target language of a corpus folder."""
    facts = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    return facts["source_language"], facts["target_language"]


def prepare_store(trial: Trial, corpus: Path, work: Path) -> Path:
    """The token store that a trial needs; written if it is missing."""
    source, target = languages(corpus)
    key = hashlib.sha256(repr((corpus.resolve(), trial.data_settings)).encode()).hexdigest()[:10]
    store = work / f"store-{key}"
    run_program(
        "preprocess", f"{corpus}/train.{source}", f"{corpus}/train.{target}", str(store),
        "--valid-source", f"{corpus}/valid.{source}", "--valid-target", f"{corpus}/valid.{target}",
        *set_options(trial.data_settings),
    )  # fmt: skip
    return store


def measure_trial(plan: Plan, trial: Trial, corpus: Path, work: Path) -> dict[str, Any]:
    """Train a trial, or finish its training, and score it on the validation set."""
    store = prepare_store(trial, corpus, work)
    key = hashlib.sha256(repr((store.name, plan.recipe, trial)).encode()).hexdigest()[:10]
    run = work / f"run-{key}"
    start = ["--resume"] if run.exists() else ["--recipe", plan.recipe, "--seed", str(trial.seed)]
    start += [] if run.exists() else set_options(trial.run_settings)
    began = time.monotonic()
    run_program("train", str(store), str(run), *start, "--threads", "1")
    source, target = languages(corpus)
    valid = [f"{corpus}/valid.{source}", f"{corpus}/valid.{target}"]
    scores = json.loads(run_program("evaluate", str(run), *valid, "--json", "--threads", "1"))
    described = json.loads(run_program("describe", str(run), "--json"))
    split = TokenStore.open(store).split("valid")
    best = described["checkpoints"]["best"]
    return {
        "name": trial.name,
        "seed": trial.seed,
        "settings": list(trial.settings),
        "bleu": scores["bleu"]["score"],
        "chrf": scores["chrf"]["score"],
        "signature": scores["bleu"]["signature"],
        "nats_per_token": best["best_nats_per_token"],
        "nats_per_sentence": best["best_nats_per_token"] * target_tokens(split) / len(split),
        "best_update": best["best_update"],
        "parameters": described["parameters"],
        "seconds": round(time.monotonic() - began),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
    }


def write_table(arguments: argparse.Namespace) -> None:
    lines = page_lines(Plan.read(arguments.plan), read_results(arguments.results))
    write_page(lines, arguments.output)


def page_lines(plan: Plan, results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The results as Markdown, trials in the plan's order, each compared with the first."""
    names = list(dict.fromkeys(trial.name for trial in plan.trials))
    everything = {name: [each for each in results if each["name"] == name] for name in names}
    by_name = {name: found for name, found in everything.items() if found}
    if names[0] not in by_name:
        raise SystemExit(f"there is no result of {names[0]!r}, which all others are compared with")
    first = mean(by_name[names[0]], "bleu"), mean(by_name[names[0]], "nats_per_sentence")
    yield f"# {plan.title}"
    yield ""
    base = f" with `{' '.join(plan.base)}`" if plan.base else ""
    yield (
        f"Made by `python scripts/sweep.py`, whose docstring has the commands. Recipe "
        f"`{plan.recipe}`{base}; the whole validation set, beam 5, cased and detokenised. A "
        "difference of less than a point between single runs may come from the seed."
    )
    yield ""
    if plan.note:
        yield plan.note
        yield ""
    yield f"Signature: `{results[0]['signature']}`; {results[0]['date']}, {results[0]['machine']}."
    yield ""
    yield (
        "| trial | what it tries | BLEU | difference from the first | nats a sentence "
        "| parameters |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, found in by_name.items():
        yield row(plan, name, found, first)
    yield ""
    yield "What each trial sets:"
    yield ""
    for name in by_name:
        trial = next(each for each in plan.trials if each.name == name)
        own = ", ".join(f"`{each}`" for each in trial.settings[len(plan.base) :])
        yield f"* {name}: {own or 'nothing more'}"


def row(
    plan: Plan, name: str, results: Sequence[dict[str, Any]], first: tuple[float, float]
) -> str:
    trial = next(each for each in plan.trials if each.name == name)
    bleu, nats = mean(results, "bleu"), mean(results, "nats_per_sentence")
    spread = ""
    if len(results) > 1:
        spread = f" ± {statistics.stdev(each['bleu'] for each in results):.1f}"
    return (
        f"| {name} | {trial.why} | {bleu:.1f}{spread} | {bleu - first[0]:+.1f} | "
        f"{nats:.2f} ({nats - first[1]:+.2f}) | {results[0]['parameters'] / 1e6:.1f} M |"
    )


def mean(results: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.fmean(each[name] for each in results)


if __name__ == "__main__":
    main()
