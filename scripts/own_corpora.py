"""Small corpora of several kinds, trained without any option but the minutes.

    python scripts/own_corpora.py run work --results results.jsonl --minutes 10 --jobs 2
    python scripts/own_corpora.py table results.jsonl --output docs/own-corpora.md

The defaults were tuned on half of the corpora, and the others are only judged. Each is fetched,
prepared, trained and evaluated by the installed program; what is in the results already is not done
again. The test set is translated with the checkpoint that the run calls best and with every other
one, to see how good the choice was; of `greek-nt`, the alignments of attention are compared with
the manual ones. `--variant tuned --option=--tune=60` gives the best of ten trials or more, to
compare the defaults with.
"""

import argparse
import json
import re
import shutil
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

from cli.commands.doctor.machine import processor
from cli.runs.output import write_lines
from data.corpus import read_lines
from seq2seq.evaluation.alignment import parse_pharaoh
from seq2seq.evaluation.link_quality import alignment_error_rate
from seq2seq.system.figures import counted


@dataclass(frozen=True)
class Corpus:
    """A corpus of `seq2seq corpus`, in one direction, perhaps cut to its first pairs."""

    name: str
    source: str
    target: str
    pairs: int | None = None
    test: str = "test"
    judged: bool = False  # else the defaults were tuned on it

    @property
    def label(self) -> str:
        cut = f", {self.pairs:,} pairs" if self.pairs else ""
        return f"{self.name} {self.source}-{self.target}{cut}"

    @property
    def folder(self) -> str:
        return self.label.replace(", ", "-").replace(",", "").replace(" ", "-")


CORPORA = (
    Corpus("greek-nt", "grc", "en"),
    Corpus("smart-home", "en", "fi"),
    Corpus("smart-home", "en", "ja"),
    Corpus("multi30k", "de", "en", pairs=5000),
    Corpus("greek-nt", "en", "grc", judged=True),
    Corpus("smart-home", "de", "pl", judged=True),
    Corpus("emoji", "en", "de", test="new-combinations", judged=True),
    Corpus("multi30k", "de", "en", pairs=1000, judged=True),
    Corpus("multi30k", "de", "en", judged=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="train and evaluate what has no result yet")
    run.add_argument("work", type=Path, help="a folder for corpora, stores and runs")
    run.add_argument("--results", type=Path, required=True, help="JSON lines, one a training")
    run.add_argument(
        "--only", default="", help="corpora whose names this matches, such as 'de-en$'"
    )
    run.add_argument("--from", dest="origins", action="append", default=[], metavar="NAME=PATH",
                     help="where the files of a corpus are, as in `corpus get --from`")  # fmt: skip
    run.add_argument("--minutes", type=float, default=10.0)
    run.add_argument("--threads", type=int, default=1, help="of each training")
    run.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    run.add_argument(
        "--variant", default="default", help="a name for what the options below change"
    )
    run.add_argument("--option", dest="options", action="append", default=[],
                     help="an option of train, such as --option=--attention=none")  # fmt: skip
    run.add_argument("--prepare", action="append", default=[],
                     help="an option of preprocess, such as --prepare=--separate")  # fmt: skip
    run.add_argument("--set", dest="settings", action="append", default=[], help="as in train")
    run.set_defaults(does=run_all)
    table = commands.add_parser("table", help="write the results as a page")
    add_page_arguments(table)
    table.set_defaults(does=write_table)
    arguments = parser.parse_args()
    arguments.does(arguments)


def run_all(arguments: argparse.Namespace) -> None:
    arguments.work.mkdir(parents=True, exist_ok=True)
    known = {(r["corpus"], r["variant"], r["minutes"]) for r in read_results(arguments.results)}
    pending = [
        corpus
        for corpus in CORPORA
        if re.search(arguments.only, corpus.label)
        and (corpus.label, arguments.variant, arguments.minutes) not in known
    ]
    for corpus in pending:
        fetch(corpus, arguments)
    results = measure_all(
        pending, lambda each: measure(each, arguments), arguments.results, jobs=arguments.jobs
    )
    corpora = {corpus.label: corpus for corpus in pending}
    for result in results:
        print(f"{result['corpus']}: BLEU {result['bleu']:.1f}", file=sys.stderr, flush=True)
        shutil.rmtree(run_folder(corpora[result["corpus"]], arguments) / "checkpoints")


def run_folder(corpus: Corpus, arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.work / corpus.folder
    return folder.with_name(f"{folder.name}.{arguments.variant}-{arguments.minutes:g}")


def fetch(corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Write the corpus's text files, if they are missing."""
    folder = arguments.work / corpus.folder
    if folder.exists():
        return
    origins = dict(each.split("=", 1) for each in arguments.origins)
    origin = ["--from", origins[corpus.name]] if corpus.name in origins else []
    sides = ["--source-language", corpus.source, "--target-language", corpus.target]
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    run_program("corpus", "get", corpus.name, str(partial), *sides, *origin)
    if corpus.pairs:
        for language in (corpus.source, corpus.target):
            train = partial / f"train.{language}"
            write_lines(train, list(read_lines(train))[: corpus.pairs])
    partial.rename(folder)


def measure(corpus: Corpus, arguments: argparse.Namespace) -> dict[str, Any]:
    """Prepare, train and evaluate one corpus."""
    folder = arguments.work / corpus.folder
    files = {
        (split, side): str(folder / f"{split}.{language}")
        for split in ("train", "valid", corpus.test)
        for side, language in (("source", corpus.source), ("target", corpus.target))
    }
    of_variant = f".{arguments.variant}" if arguments.prepare else ""
    store = folder.with_name(f"{folder.name}{of_variant}.store")
    run_program(
        "preprocess", files["train", "source"], files["train", "target"], str(store),
        "--valid-source", files["valid", "source"], "--valid-target", files["valid", "target"],
        *arguments.prepare,
    )  # fmt: skip
    run = run_folder(corpus, arguments)
    kept = set_options(["training.keep_last=1000", *arguments.settings])
    begin = ["--minutes", f"{arguments.minutes:g}", *arguments.options, *kept]
    threads = ["--threads", str(arguments.threads)]
    run_program("train", str(store), str(run), *(["--resume"] if run.exists() else begin), *threads)
    test = [files[corpus.test, "source"], files[corpus.test, "target"]]
    described = json.loads(run_program("describe", str(run), "--json"))
    last, best = (described["checkpoints"][name] for name in ("last", "best"))
    scores = evaluate(run, test, "best")
    others = {
        path.name: evaluate(run, test, path.name)["chrf"]["score"]
        for path in sorted((run / "checkpoints").glob("update-*"))
        if path.name != Path(best["path"]).name
    }
    return {
        "corpus": corpus.label,
        "judged": corpus.judged,
        "variant": arguments.variant,
        "options": [*arguments.prepare, *arguments.options, *arguments.settings],
        "minutes": arguments.minutes,
        "threads": arguments.threads,
        "jobs": arguments.jobs,
        "trials": count_trials(run),
        "updates": last["update"],
        "parameters": described["parameters"],
        "settings": described["config"],
        "bleu": scores["bleu"]["score"],
        "signature": scores["bleu"]["signature"],
        "chrf": scores["chrf"]["score"],
        "chrf_of_other_checkpoints": others,
        "aer": alignment_error(run, folder, corpus, test),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {psutil.cpu_count()} cores, torch {torch.__version__}",
    }


def count_trials(run: Path) -> int | None:
    """The trials of the search before the run, if there was one."""
    table = run.with_name(f"{run.name}.trials") / "trials.txt"
    return len(table.read_text("utf-8").splitlines()) - 1 if table.exists() else None


def evaluate(run: Path, test: Sequence[str], checkpoint: str) -> dict[str, Any]:
    output = run_program(
        "evaluate", str(run), *test, "--json", "--checkpoint", checkpoint, "--threads=1"
    )
    return dict(json.loads(output))


def alignment_error(run: Path, folder: Path, corpus: Corpus, test: Sequence[str]) -> float | None:
    """AER of the attention of the best checkpoint, where the corpus has manual alignments."""
    manual = folder / f"{corpus.test}.{corpus.source}-{corpus.target}.pharaoh"
    if not manual.exists():
        return None
    found = run_program("align", str(run), *test, "--format=pharaoh", "--threads=1")
    links = [parse_pharaoh(line) for line in found.splitlines()]
    manual_links = [parse_pharaoh(line) for line in manual.read_text("utf-8").splitlines()]
    return alignment_error_rate(links, manual_links, manual_links).aer


def write_table(arguments: argparse.Namespace) -> None:
    write_page(page_lines(read_results(arguments.results)), arguments.output)


def page_lines(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The results as Markdown, the corpora that are only judged last."""
    yield "# Corpora of one's own"
    yield ""
    yield (
        "Made by `python scripts/own_corpora.py`, whose docstring has the commands. No option but "
        "the minutes, unless a variant is named; beam 5, cased and detokenised, one seed. The "
        "defaults were tuned on the first corpora; those marked *judged* were named beforehand and "
        "only evaluated. *Behind the best* is chrF on the test set: how far the checkpoint called "
        "best is behind the best of all that the run ever had."
    )
    first, days = results[0], sorted({result["date"] for result in results})
    yield ""
    yield (
        f"{' and '.join(days)}, {first['machine']}; a thread for each training, and "
        f"{counted(first['jobs'], 'training')} at a time, or alone where it has more threads."
    )
    yield ""
    yield "| corpus | variant | minutes | BLEU | chrF | AER | behind the best | updates | size |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for result in sorted(results, key=lambda each: bool(each["judged"])):
        yield row(result)
    behind = statistics.fmean(map(behind_best, results))
    yield ""
    yield f"Behind the best on average: {behind:.2f} chrF."
    for line in differences([each for each in results if each["judged"]]):
        yield ""
        yield line
    yield ""
    for signature in sorted({result["signature"] for result in results}):
        yield f"* BLEU: `{signature}`"


def row(result: dict[str, Any]) -> str:
    judged = ", *judged*" if result["judged"] else ""
    trials = f", {result['trials']} trials" if result["trials"] else ""
    threads = f", {result['threads']} threads" if result["threads"] > 1 else ""
    cells = (
        result["corpus"] + judged,
        result["variant"] + trials,
        f"{result['minutes']:g}" + threads,
        f"{result['bleu']:.1f}",
        f"{result['chrf']:.1f}",
        "" if result["aer"] is None else f"{result['aer']:.2f}",
        f"{behind_best(result):.1f}",
        f"{result['updates']:,}",
        f"{result['parameters'] / 1e6:.1f} M",
    )
    return "| " + " | ".join(cells) + " |"


def differences(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """For each other variant and minutes, what the default has more, or less, than it."""
    defaults = {(r["minutes"], r["corpus"]): r for r in results if r["variant"] == "default"}
    others: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for result in results:
        if result["variant"] != "default" and (result["minutes"], result["corpus"]) in defaults:
            others.setdefault((result["variant"], result["minutes"]), []).append(result)
    for (variant, minutes), group in sorted(others.items()):
        parts = []
        for metric, label in (("bleu", "BLEU"), ("chrf", "chrF")):
            gaps = [defaults[minutes, other["corpus"]][metric] - other[metric] for other in group]
            parts.append(f"{statistics.fmean(gaps):+.1f} {label} (at worst {min(gaps):+.1f})")
        yield (
            f"Default beside *{variant}*, {minutes:g} minutes, mean over "
            f"{len(group)} of the judged corpora: {' and '.join(parts)}."
        )


def behind_best(result: dict[str, Any]) -> float:
    """By how much chrF the best of all checkpoints is better than the one that was chosen."""
    best = max([*result["chrf_of_other_checkpoints"].values(), result["chrf"]])
    return float(best - result["chrf"])


if __name__ == "__main__":
    main()
