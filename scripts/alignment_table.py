"""How good alignments by attention are on the Greek New Testament, beside those of eflomal.

    seq2seq corpus get greek-nt corpus
    pip install eflomal  # compiles it, which needs a C compiler
    python scripts/alignment_table.py corpus work --minutes 25 --output docs/alignment-quality.md

For each order of attention, without guidance, guided by the links that `train` learns and guided by
those of people, a model is trained in either direction, with the settings that `train` chooses.
Each is measured on the test book, with every shift, alone and with the other direction; BLEU and
chrF say what guidance costs. Beside them stand eflomal (Östling & Tiedemann, 2016) and the hidden
Markov models of `train`, learnt on training and test text. A call that is interrupted goes on where
it was; what is in `work/results.jsonl` is not done again. `--updates 5` tries it quickly.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from installed import (
    add_limit_arguments,
    limit_of_training,
    refuse_other_limit,
    run_program,
    train_to_the_end,
)
from results import made_on, read_results, record, write_page
from statistical_links import links_of_eflomal, links_of_hmm

from cli.runs.output import write_lines
from cli.runs.word_links import measure
from data.corpus import SentencePair, read_lines, read_pairs
from data.token_store import TokenStore
from seq2seq.evaluation.alignment import Link, parse_pharaoh, pharaoh_line
from seq2seq.evaluation.links import ReferenceLinks, Symmetrization, symmetrize
from seq2seq.system.figures import counted

Side: TypeAlias = Literal["grc", "en"]
Guidance: TypeAlias = Literal["none", "learnt", "people"]
ORDERS = ("luong", "bahdanau")
GUIDANCE: tuple[Guidance, ...] = get_args(Guidance)
VERSES = 429
"""Verses of the test book, and of the training text that is measured beside it."""
METHODS: tuple[Symmetrization, ...] = get_args(Symmetrization)
DIRECTIONS: tuple[tuple[Side, Side], ...] = (("grc", "en"), ("en", "grc"))
GUIDED = {
    "none": ("training.guided_alignment=0",),
    "learnt": ("training.guided_alignment=1",),
    "people": ("training.guided_alignment=1", "training.guided_alignment_unlinked=eos"),
}
HEAD_OF_LINKS = (
    "model.heads=2",
    "training.guided_alignment_head=1",
    "training.guided_alignment_shift=1",
)
"""Of guided models whose step has its input before it attends: a head learns the links of that
input (Chen et al., 2020)."""


@dataclass(frozen=True)
class Work:
    """The corpus, and the folder of everything that is made of it."""

    corpus: Path
    folder: Path
    options: tuple[str, ...]  # of `train`
    threads: int

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    def text(self, split: str, side: Side) -> Path:
        return self.corpus / f"{split}.{side}"

    def links(self, split: str, source: Side, target: Side, guidance: Guidance) -> Path:
        return self.folder / f"{split}.{source}-{target}.{guidance}.pharaoh"


@dataclass(frozen=True)
class Model:
    """A model that is trained, in one direction."""

    order: str
    guidance: Guidance
    source: Side
    target: Side

    @property
    def name(self) -> str:
        return f"{self.order}-{self.guidance}-{self.source}-{self.target}"

    @property
    def reverse(self) -> "Model":
        return Model(self.order, self.guidance, self.target, self.source)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus", type=Path, help="the folder of `seq2seq corpus get greek-nt`")
    parser.add_argument("work", type=Path, help="a folder for links, stores, runs and results")
    add_limit_arguments(parser, minutes=25.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--only", default="", help="models with this text in their names")
    parser.add_argument("--output", type=Path, help="a Markdown file; default: standard output")
    asked = parser.parse_args(arguments)
    settings = (f"--set={setting}" for setting in asked.settings)
    work = Work(asked.corpus, asked.work, (limit_of_training(asked), *settings), asked.threads)
    work.folder.mkdir(parents=True, exist_ok=True)
    refuse_other_limit(work.folder, asked)
    write_links_of_people(work)
    measure_other_programs(work)
    models = [
        Model(order, guidance, *direction)
        for order in ORDERS
        for guidance in GUIDANCE
        for direction in DIRECTIONS
    ]
    for model in models:
        if asked.only in model.name:
            train_model(work, model)
            record(work.results, {"model": asdict(model)}, partial(measured, work, model))
    for model in models:
        both = (model, model.reverse)
        trained = all((work.folder / each.name / "report.txt").exists() for each in both)
        if model.source == "grc" and trained:
            record(work.results, {"both": asdict(model)}, partial(combined, work, model))
        if model.guidance == "people" and (work.folder / model.name / "report.txt").exists():
            record(
                work.results,
                {"trained_on": asdict(model)},
                partial(aligned_as_trained, work, model),
            )
    write_page(page(read_results(work.results), asked), asked.output)


def write_links_of_people(work: Work) -> None:
    """The links of the corpus, from Greek to English and the other way round."""
    for split in ("train", "test"):
        lines = list(read_lines(work.corpus / f"{split}.grc-en.pharaoh"))
        write_both_directions(work, split, "people", map(parse_pharaoh, lines))


def measure_other_programs(work: Work) -> None:
    """Links learnt on training and test text, by eflomal where it is installed and by our hidden
    Markov models."""
    splits = [
        list(read_pairs(work.text(split, "grc"), work.text(split, "en")))
        for split in ("train", "test")
    ]
    pairs = [pair for split in splits for pair in split]
    first_of_test = len(splits[0])
    record(work.results, {"program": "hidden Markov models"}, lambda: {
        "aer": {"both": quality(work, links_of_hmm(store_of(work, pairs), pairs)[first_of_test:])}
    })  # fmt: skip
    try:
        version = metadata.version("eflomal")
    except metadata.PackageNotFoundError:
        print("eflomal is not installed: its rows are left out")
        return
    record(work.results, {"program": f"eflomal {version}"}, lambda: {
        "aer": qualities_of_directions(work, links_of_eflomal(pairs)[first_of_test:])
    })  # fmt: skip


def store_of(work: Work, pairs: Sequence[SentencePair]) -> TokenStore:
    """A token store of training and test text."""
    texts = [work.folder / f"all.{side}" for side in ("grc", "en")]
    for path, lines in zip(texts, zip(*pairs, strict=True), strict=True):
        write_lines(path, lines)
    valid = [
        f"--valid-source={work.text('valid', 'grc')}",
        f"--valid-target={work.text('valid', 'en')}",
    ]
    store = work.folder / "store-all"
    run_program("preprocess", *map(str, texts), str(store), *valid)
    return TokenStore.open(store)


def write_both_directions(
    work: Work, split: str, guidance: Guidance, links: Iterable[set[Link]]
) -> None:
    for path, lines in zip(
        (work.links(split, *direction, guidance) for direction in DIRECTIONS),
        zip(*((each, {(j, i) for i, j in each}) for each in links), strict=True),
        strict=True,
    ):
        write_lines(path, map(pharaoh_line, lines))


def qualities_of_directions(
    work: Work, found: Sequence[tuple[set[Link], set[Link]]]
) -> dict[str, dict[str, float]]:
    """AER of each direction, and of both combined."""
    systems = {"forward": [there for there, _ in found], "reverse": [back for _, back in found]}
    systems |= {m: [symmetrize(there, back, m) for there, back in found] for m in METHODS}
    return {name: quality(work, links) for name, links in systems.items()}


def quality(work: Work, links: Sequence[set[Link]]) -> dict[str, float]:
    """AER of links of the test book."""
    drawn = read_lines(work.links("test", "grc", "en", "people"))
    references = [ReferenceLinks(sure=frozenset(parse_pharaoh(line))) for line in drawn]
    found = measure(links, references)
    low, high = found.intervals["aer"]
    return {"value": found.aer, "low": low, "high": high}


def train_model(work: Work, model: Model) -> None:
    """Prepare a store, and train to the end, from where an earlier call was interrupted."""
    links = "people" if model.guidance == "people" else "without"
    store = work.folder / f"store-{links}-{model.source}-{model.target}"
    texts = [str(work.text("train", side)) for side in (model.source, model.target)]
    valid = [f"--valid-{name}={work.text('valid', side)}" for name, side in
             (("source", model.source), ("target", model.target))]  # fmt: skip
    if model.guidance == "people":
        drawn = work.links("train", model.source, model.target, "people")
        valid.append(f"--alignments={drawn}")
    run_program("preprocess", *texts, str(store), *valid)
    settings = (f"--set={setting}" for setting in guidance(model))
    options = ("--attention", model.order, *settings, *work.options)
    train_to_the_end(store, work.folder / model.name, *options, threads=work.threads)


def guidance(model: Model) -> tuple[str, ...]:
    """The settings by which attention learns links."""
    head = HEAD_OF_LINKS if model.order == "luong" and model.guidance == "people" else ()
    return (*GUIDED[model.guidance], *head)


def measured(work: Work, model: Model) -> dict[str, Any]:
    """BLEU and chrF on the test book, and the AER while the references are written: of attention
    alone, and together with the lexicon."""
    texts = [str(work.text("test", side)) for side in (model.source, model.target)]
    threads = f"--threads={work.threads}"
    run = str(work.folder / model.name)
    scores = json.loads(run_program("evaluate", run, *texts, "--json", threads))
    files = files_of(work, model, "test")
    return {
        "aer": aligned(work, model, files, "--weights=attention"),
        "posterior": aligned(work, model, files, "--weights=posterior"),
        **{name: scores[name]["score"] for name in ("bleu", "chrf")},
    }


def combined(work: Work, model: Model) -> dict[str, Any]:
    """The AER of both directions, for every symmetrization; each direction has its best shift."""
    files = files_of(work, model, "test")
    reverse = ("--with-reverse", str(work.folder / model.reverse.name), "--symmetrize")
    return {"aer": {m: aligned(work, model, files, *reverse, m)["aer"] for m in METHODS}}


def aligned_as_trained(work: Work, model: Model) -> dict[str, Any]:
    """The AER on verses whose links the model has learnt: less by what it cannot generalise."""
    first = []
    for path in files_of(work, model, "train"):
        first.append(work.folder / f"first.{path.name}")
        write_lines(first[-1], islice(read_lines(path), VERSES))
    return aligned(work, model, first)


def files_of(work: Work, model: Model, split: str) -> list[Path]:
    """Source, target and the links that people drew."""
    texts = [work.text(split, side) for side in (model.source, model.target)]
    return [*texts, work.links(split, model.source, model.target, "people")]


def aligned(work: Work, model: Model, files: Sequence[Path], *options: str) -> dict[str, Any]:
    """The AER of the model's links, by the posterior unless the options say otherwise.

    files: as of `files_of`
    """
    *texts, drawn = map(str, files)
    report = json.loads(
        run_program(
            "align", str(work.folder / model.name), *texts, "--gold", drawn, "--json",
            "--shift", "auto", f"--threads={work.threads}", *options,
        )
    )  # fmt: skip
    return {"aer": report["aer"], "shifts": report["shifts"]}


def page(results: Sequence[dict[str, Any]], asked: argparse.Namespace) -> Iterator[str]:
    """The lines of a Markdown page."""
    limit = f"{asked.updates} updates" if asked.updates else f"{asked.minutes:g} minutes"
    yield "# Alignment quality"
    yield ""
    yield "AER of links on the test book of `greek-nt`, 429 verses with links that people drew, all"
    yield "of them sure; with 95 % bootstrap intervals. Lower is better. Each model was trained for"
    yield f"{limit}, on {counted(asked.threads, 'thread')}, with the settings that `train` chooses,"
    yield "and writes the references (forced decoding); guided models learn the links of training"
    yield "text, and those of people in Luong's order in a head of its own, which links a step's"
    yield "input. Posterior: of attention and lexicon, as `align` makes links by default."
    yield "`scripts/alignment_table.py` makes this page."
    yield ""
    yield from made_on()
    yield ""
    yield "## Programs that only link"
    yield ""
    yield "| links | AER |"
    yield "| --- | --- |"
    for result in results:
        if "program" in result:
            for name, aer in result["aer"].items():
                yield f"| {result['program']}, {name} | {_rate(aer)} |"
    yield ""
    yield "## Links of one model"
    yield ""
    yield (
        "| order | guided by | direction | AER of the posterior | AER of attention | shift | "
        "AER by shift -1, 0, 1 | BLEU | chrF |"
    )
    yield f"|{' --- |' * 9}"
    for result in results:
        if "model" in result:
            model, aer = Model(**result["model"]), result["aer"]
            (shift,) = aer["shifts"]
            by_shift = ", ".join(f"{shift['aer'][rows]:.3f}" for rows in ("-1", "0", "1"))
            cells = (
                model.order, model.guidance, f"{model.source}-{model.target}",
                _rate(result["posterior"]["aer"]), _rate(aer["aer"]), shift["rows"], by_shift,
                f"{result['bleu']:.2f}", f"{result['chrf']:.2f}",
            )  # fmt: skip
            yield f"| {' | '.join(map(str, cells))} |"
    yield ""
    yield "## Links of both directions"
    yield ""
    yield f"| order | guided by | {' | '.join(METHODS)} |"
    yield f"| --- | --- |{' --- |' * len(METHODS)}"
    for result in results:
        if "both" in result:
            model = Model(**result["both"])
            rates = (_rate(result["aer"][method]) for method in METHODS)
            yield f"| {model.order} | {model.guidance} | {' | '.join(rates)} |"

    yield ""
    yield "## Verses of the training text"
    yield ""
    yield f"How well these models link the first {VERSES} verses that they were trained on, whose"
    yield "links they have learnt: what they do not know of the test book is the rest."
    yield ""
    yield "| order | guided by | direction | AER |"
    yield "| --- | --- | --- | --- |"
    for result in results:
        if "trained_on" in result:
            model = Model(**result["trained_on"])
            direction = f"{model.source}-{model.target}"
            rate = _rate(result["aer"])
            yield f"| {model.order} | {model.guidance} | {direction} | {rate} |"


def _rate(aer: dict[str, float]) -> str:
    return f"{aer['value']:.3f} ({aer['low']:.3f} to {aer['high']:.3f})"


if __name__ == "__main__":
    main()
