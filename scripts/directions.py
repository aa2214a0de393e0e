"""BLEU on Multi30k in several directions and from several seeds, single models and averages.

    python scripts/directions.py run work --results results.jsonl --minutes 60
    python scripts/directions.py run work --results results.jsonl --updates 12000 --jobs 2
    python scripts/directions.py table results.jsonl --output docs/multi30k.md

Every model is prepared, trained and evaluated by the installed program, on `val` and on
test_2016_flickr, and what is in the results already is not done again. Scores are cased and
detokenised (sacreBLEU's 13a). Beside them stands what published Multi30k systems report, such as
LIUM-CVC (Caglayan et al., 2017): lowercased, normalised and tokenised text, hyphens split, on both
sides. `--from` names a folder with the files of the corpus where there is no network.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from installed import run_program, set_options
from results import add_page_arguments, measure_all, read_results, write_page
from sacrebleu.metrics.bleu import BLEU

from seq2seq.kernels.precision import compute_dtype

DIRECTIONS = ("de-en", "en-de", "en-fr")
AVERAGE_SIZE = 5  # checkpoints in an average
WEIGHTS = {"last": "single model", "averaged": f"average of {AVERAGE_SIZE} checkpoints"}


@dataclass(frozen=True)
class Training:
    """One model of the table."""

    direction: str
    seed: int

    @property
    def languages(self) -> tuple[str, str]:
        source, target = self.direction.split("-")
        return source, target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="train and evaluate the models that have no result yet")
    run.add_argument("work", type=Path, help="a folder for corpora, stores and runs")
    run.add_argument("--results", type=Path, required=True, help="JSON lines, one a model")
    run.add_argument("--from", dest="origin", type=Path, help="a folder with Multi30k's files")
    run.add_argument("--direction", action="append", choices=DIRECTIONS, help="again for more")
    run.add_argument("--seeds", default="1,2,3")
    run.add_argument("--recipe", default="small")
    run.add_argument("--vocabulary-size", type=int, default=4000)
    run.add_argument("--set", dest="settings", action="append", default=[], help="as in train")
    run.add_argument("--minutes", type=float, help="of training, on all threads")
    run.add_argument("--updates", type=int, help="instead of minutes")
    run.add_argument("--jobs", type=int, default=1, help="trainings at a time, sharing two threads")
    run.set_defaults(does=run_all)
    table = commands.add_parser("table", help="write the results as a page")
    add_page_arguments(table)
    table.set_defaults(does=write_table)
    arguments = parser.parse_args()
    arguments.does(arguments)


def run_all(arguments: argparse.Namespace) -> None:
    arguments.work.mkdir(parents=True, exist_ok=True)
    known = {(each["direction"], each["seed"]) for each in read_results(arguments.results)}
    pending = [
        Training(direction, seed)
        for seed in map(int, arguments.seeds.split(","))
        for direction in arguments.direction or DIRECTIONS
        if (direction, seed) not in known
    ]
    for direction in dict.fromkeys(each.direction for each in pending):
        prepare_store(direction, arguments)
    for result in measure_all(
        pending, lambda each: measure(each, arguments), arguments.results, jobs=arguments.jobs
    ):
        print(f"{result['direction']}, seed {result['seed']}: done", file=sys.stderr, flush=True)


def prepare_store(direction: str, arguments: argparse.Namespace) -> Path:
    """The token store of a direction, written with its corpus if it is missing."""
    source, target = direction.split("-")
    work: Path = arguments.work
    corpus, store = work / direction, work / f"{direction}.store"
    if not corpus.exists():
        origin = ["--from", str(arguments.origin)] if arguments.origin else []
        sides = ["--source-language", source, "--target-language", target]
        run_program("corpus", "get", "multi30k", str(corpus), *sides, *origin)
    run_program(
        "preprocess", f"{corpus}/train.{source}", f"{corpus}/train.{target}", str(store),
        "--valid-source", f"{corpus}/valid.{source}", "--valid-target", f"{corpus}/valid.{target}",
        "--vocabulary-size", str(arguments.vocabulary_size),
    )  # fmt: skip
    return store


def measure(training: Training, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one model, as far as that is not done, and translate with its last weights and the
    average of the last few."""
    run = arguments.work / f"{training.direction}.run-{training.seed}"
    store = arguments.work / f"{training.direction}.store"
    threads = ["--threads", str(max(1, 2 // arguments.jobs))]
    settings = ["training.average=last", f"training.keep_last={AVERAGE_SIZE}", *arguments.settings]
    if arguments.updates:
        settings.append(f"training.updates={arguments.updates}")
    else:
        settings.append("training.updates=1000000")
    timed = ["--minutes", f"{arguments.minutes:g}"] if arguments.minutes else []
    start = [
        "--recipe",
        arguments.recipe,
        "--seed",
        str(training.seed),
        *timed,
        *set_options(settings),
    ]
    run_program("train", str(store), str(run), *(["--resume"] if run.exists() else start), *threads)
    described = json.loads(run_program("describe", str(run), "--json"))
    last = described["checkpoints"]["last"]
    products = compute_dtype(described["config"]["training"]["precision"], "cpu")
    return {
        "direction": training.direction,
        "seed": training.seed,
        "recipe": arguments.recipe,
        "settings": settings,
        "minutes": round(last["seconds"] / 60, 1),
        "updates": last["update"],
        "parameters": described["parameters"],
        "scores": {
            weights: {split: score(training, run, weights, split) for split in ("valid", "test")}
            for weights in WEIGHTS
        },
        "jobs": arguments.jobs,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, torch {torch.__version__}",
        "products": str(products).removeprefix("torch."),
    }


def score(training: Training, run: Path, weights: str, split: str) -> dict[str, Any]:
    """Translate one set with the weights of one checkpoint, beam 5, and score in both ways."""
    source, target = training.languages
    corpus = run.parent / training.direction
    texts = run / f"{split}.{weights}.{target}"
    expected = corpus / f"{split}.{target}"
    report = json.loads(
        run_program(
            "evaluate", str(run), f"{corpus}/{split}.{source}", str(expected), "--json",
            "--checkpoint", weights, "--output", str(texts), "--overwrite",
        )
    )  # fmt: skip
    hypotheses, references = (
        path.read_text("utf-8").split("\n")[:-1] for path in (texts, expected)
    )
    return {
        "bleu": report["bleu"]["score"],
        "signature": report["bleu"]["signature"],
        "chrf": report["chrf"]["score"],
        **tokenised_bleu(hypotheses, references, target),
    }


def tokenised_bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str
) -> dict[str, Any]:
    """BLEU of lowercased, normalised, tokenised text, as Multi30k's published systems have it."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(language), MosesTokenizer(language)

    def tokenise(line: str) -> str:
        normal = normalizer.normalize(line.lower())
        return str(tokenizer.tokenize(normal, aggressive_dash_splits=True, return_str=True))

    metric = BLEU(tokenize="none", force=True)
    score = metric.corpus_score([*map(tokenise, hypotheses)], [[*map(tokenise, references)]])
    return {"tokenised_bleu": score.score, "tokenised_signature": str(metric.get_signature())}


def write_table(arguments: argparse.Namespace) -> None:
    write_page(page_lines(read_results(arguments.results)), arguments.output)


def page_lines(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The results as Markdown: a row for each direction, of single and of averaged weights."""
    first = results[0]
    settings = " ".join(f"`{each}`" for each in first["settings"])
    each = "" if first["jobs"] == 1 else f", {first['jobs']} trainings at a time on a thread each"
    yield "# Multi30k in three directions"
    yield ""
    yield (
        "Made by `python scripts/directions.py`, whose docstring has the commands. Recipe "
        f"`{first['recipe']}` with {settings}{each}; beam 5. Mean and standard deviation over "
        "seeds. Cased: sacreBLEU, detokenised. Tokenised: lowercased, normalised, tokenised with "
        "hyphens split, as published systems on Multi30k are scored."
    )
    yield ""
    yield f"{first['date']}, {first['machine']}, products in {first['products']}."
    scores = first["scores"]["last"]["test"]
    yield f"Signatures: cased `{scores['signature']}`, tokenised `{scores['tokenised_signature']}`."
    yield ""
    yield (
        "| direction | weights | seeds | validation | test_2016_flickr | test, tokenised | minutes "
        "| updates | parameters |"
    )
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for direction in dict.fromkeys(each["direction"] for each in results):
        found = [each for each in results if each["direction"] == direction]
        for weights in WEIGHTS:
            yield row(direction, weights, found)


def row(direction: str, weights: str, results: Sequence[dict[str, Any]]) -> str:
    scores = [each["scores"][weights] for each in results]
    figures = (
        spread([each["valid"]["bleu"] for each in scores]),
        spread([each["test"]["bleu"] for each in scores]),
        spread([each["test"]["tokenised_bleu"] for each in scores]),
        f"{statistics.fmean(each['minutes'] for each in results):.0f}",
        f"{statistics.fmean(each['updates'] for each in results):,.0f}",
        f"{results[0]['parameters'] / 1e6:.1f} M",
    )
    seeds = ", ".join(str(each["seed"]) for each in results)
    return f"| {direction} | {WEIGHTS[weights]} | {seeds} | " + " | ".join(figures) + " |"


def spread(values: Sequence[float]) -> str:
    """Mean and, of several, the standard deviation."""
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main()
