"""BLEU and chrF of beams, ensembles, minimum Bayes risk and rescoring on Multi30k, both directions.

    python scripts/search_quality.py multi30k work --minutes 15 --output docs/search-quality.md

Trains de-en and en-de, three seeds in Luong's order and one each in Bahdanau's and the conditional
one, with the settings that `train` chooses, and translates the test set by several searches. The
weights of rescoring are tuned on the validation set. A call that is interrupted goes on where it
was; what is in `work/results.jsonl` is not done again. `multi30k` has the files train.de.gz,
val.de.gz, test_2016_flickr.de.gz and the same of .en; `--updates 5` tries it quickly.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from installed import (
    add_limit_arguments,
    limit_of_training,
    refuse_other_limit,
    run_program,
    train_to_the_end,
)
from results import made_on, read_results, record, write_page

DIRECTIONS = (("de", "en"), ("en", "de"))
TEST = "test_2016_flickr"
SEEDS = (1, 2, 3)
ORDERS = ("luong", "bahdanau", "conditional")
CANDIDATES = 64  # samples of minimum Bayes risk
BEAM = 12  # of rescoring, and of minimum Bayes risk by a beam


@dataclass(frozen=True)
class Model:
    """A training."""

    source: str
    target: str
    order: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.source}-{self.target}-{self.order}-{self.seed}"

    @property
    def reverse(self) -> "Model":
        return Model(self.target, self.source, self.order, self.seed)


@dataclass(frozen=True)
class System:
    """A search, by models of one direction."""

    name: str
    options: tuple[str, ...] = ()
    beside: tuple[tuple[str, int], ...] = ()  # order and seed of the others of an ensemble
    seeds: tuple[int, ...] = SEEDS  # of the model itself, in Luong's order
    rescored: bool = False  # by the model of the other direction with its seed


SAMPLED = ("--mbr", str(CANDIDATES), "--set=search.sample=true", "--set=search.top_p=0.9")
BY_BEAM = (f"--beam={BEAM}", f"--mbr={BEAM}")
OTHER_SEEDS = (("luong", 2), ("luong", 3))
OTHER_ORDERS = (("bahdanau", 1), ("conditional", 1))
SYSTEMS = (
    System("greedy", ("--beam=1",)),
    System("beam 5"),
    System(f"beam {BEAM}", (f"--beam={BEAM}",)),
    System(f"minimum Bayes risk, beam {BEAM}", BY_BEAM),
    System(f"minimum Bayes risk, {CANDIDATES} samples", SAMPLED, seeds=(1,)),  # takes minutes
    System(f"beam {BEAM}, rescored", (f"--beam={BEAM}",), rescored=True),
    System("ensemble of 3 seeds, beam 5", beside=OTHER_SEEDS, seeds=(1,)),
    System("ensemble of 3 orders, beam 5", beside=OTHER_ORDERS, seeds=(1,)),
    System(
        f"ensemble of 3 seeds, minimum Bayes risk, beam {BEAM}", BY_BEAM, OTHER_SEEDS, seeds=(1,)
    ),
)


@dataclass(frozen=True)
class Work:
    """The corpus, the folder of everything that is made of it, and how it is trained."""

    corpus: Path
    folder: Path
    limit: str  # an option of `train`
    jobs: int

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    def texts(self, split: str, source: str, target: str) -> tuple[str, str]:
        source_text, target_text = (self.corpus / f"{split}.{side}.gz" for side in (source, target))
        return str(source_text), str(target_text)

    def store(self, model: Model) -> Path:
        return self.folder / f"store-{model.source}-{model.target}"

    def run(self, model: Model) -> Path:
        return self.folder / model.name


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus", type=Path, help="a folder of Multi30k")
    parser.add_argument("work", type=Path, help="a folder for stores, runs and results")
    add_limit_arguments(parser, minutes=15.0)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each")
    parser.add_argument("--output", type=Path, help="a Markdown file; default: standard output")
    asked = parser.parse_args(arguments)
    work = Work(asked.corpus, asked.work, limit_of_training(asked), asked.jobs)
    work.folder.mkdir(parents=True, exist_ok=True)
    refuse_other_limit(work.folder, asked)
    train_all(work)
    for source, target in DIRECTIONS:
        for system in SYSTEMS:
            for seed in system.seeds:
                model = Model(source, target, ORDERS[0], seed)
                key = {"system": system.name, "model": model.name}
                record(work.results, key, partial(measured, work, system, model))
    write_page(page(work, read_results(work.results)), asked.output)


def train_all(work: Work) -> None:
    """Prepare the stores, and train every model that is not finished."""
    wanted = [(ORDERS[0], seed) for seed in SEEDS] + [(order, SEEDS[0]) for order in ORDERS[1:]]
    models = [Model(*direction, *each) for direction in DIRECTIONS for each in wanted]
    for direction in DIRECTIONS:
        texts, valid = (work.texts(split, *direction) for split in ("train", "val"))
        run_program(
            "preprocess", *texts, str(work.store(Model(*direction, ORDERS[0], 1))),
            "--valid-source", valid[0], "--valid-target", valid[1],
        )  # fmt: skip
    with ThreadPoolExecutor(work.jobs) as pool:
        list(pool.map(lambda model: train(work, model), models))


def train(work: Work, model: Model) -> None:
    options = (f"--attention={model.order}", f"--seed={model.seed}", work.limit)
    train_to_the_end(work.store(model), work.run(model), *options)


def measured(work: Work, system: System, model: Model) -> dict[str, Any]:
    """The scores of the test set."""
    options = list(system.options)
    for order, seed in system.beside:
        options.append(f"--with={work.run(Model(model.source, model.target, order, seed))}")
    if system.rescored:
        options += rescoring(work, model)
    texts = work.texts(TEST, model.source, model.target)
    found = json.loads(run_program("evaluate", str(work.run(model)), *texts, "--json", *options))
    scores = {name: found[name]["score"] for name in ("bleu", "chrf")}
    return {"direction": f"{model.source}-{model.target}", **scores}


def rescoring(work: Work, model: Model) -> list[str]:
    """The options of rescoring, with weights that are tuned on the validation set."""
    reverse = str(work.run(model.reverse))
    texts = work.texts("val", model.source, model.target)
    run = str(work.run(model))
    found = json.loads(
        run_program("tune-rescoring", run, reverse, *texts, f"--beam={BEAM}", "--json")
    )
    weights = ("reverse_weight", "length_reward")
    return [f"--rescore-with={reverse}", *(f"--set=search.{w}={found[w]}" for w in weights)]


def page(work: Work, results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The lines of a Markdown page."""
    unit, _, number = work.limit.removeprefix("--").rpartition("=")
    yield "# Quality of search"
    yield ""
    yield f"Multi30k, {TEST}, cased and detokenised; each model trained for {number}"
    yield f"{unit.rpartition('.')[2]} on one thread, {work.jobs} at a time, with the settings that"
    yield "`train` chooses, in Luong's order unless an ensemble has others. Mean and standard"
    yield f"deviation over seeds {', '.join(map(str, SEEDS))}, or one model or ensemble alone."
    yield "Rescoring's weights are tuned on the validation set. `python scripts/search_quality.py`"
    yield "makes this page."
    yield ""
    yield from made_on()
    yield ""
    names = [f"{source}-{target}" for source, target in DIRECTIONS]
    yield f"| search | {' | '.join(f'{name} BLEU | {name} chrF' for name in names)} |"
    yield f"| --- |{' ---: | ---: |' * len(names)}"
    for system in SYSTEMS:
        cells = [
            spread(
                [r[metric] for r in results if (r["system"], r["direction"]) == (system.name, n)]
            )
            for n in names
            for metric in ("bleu", "chrf")
        ]
        yield f"| {system.name} | {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    """The mean, and the standard deviation of several."""
    if len(values) < 2:
        return "".join(f"{value:.1f}" for value in values) or "-"
    return f"{mean(values):.1f} ± {stdev(values):.1f}"


if __name__ == "__main__":
    main()
