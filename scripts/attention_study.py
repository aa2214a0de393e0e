"""Orders of attention, scores, widths and heads on Multi30k de-en, at equal minutes.

    python scripts/attention_study.py multi30k work --output docs/attention-on-multi30k.md

Prepares a store, compares the systems of scripts/sweeps/attention*.toml with `seq2seq compare`,
and draws charts of `seq2seq report` into a folder beside the page: of the test set, and of some
systems on a text of long sentences, each made of two neighbours of the test set. A call that is
interrupted goes on where it was. `multi30k` has the files train.de.gz, val.de.gz,
test_2016_flickr.de.gz and the same of .en; `--updates 5` tries it quickly.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from installed import add_limit_arguments, run_program
from results import made_on, write_page

from cli.runs.comparison.grid import read_grid
from cli.runs.output import write_lines
from data.corpus import read_lines

SIDES = ("de", "en")
GRIDS = Path(__file__).parent / "sweeps"
PIECES = 4000
TEST = "test_2016_flickr"
JOINED_BINS = "10,20,30,40,50"


@dataclass(frozen=True)
class Study:
    """One comparison, and the charts of it that the page shows."""

    name: str  # of its grid file
    charts: tuple[str, ...]
    joined: tuple[str, ...] = ()  # systems that translate the long sentences too

    @property
    def grid(self) -> Path:
        return GRIDS / f"{self.name}.toml"


STUDIES = (
    Study(
        "attention",
        ("bleu-by-length", "bleu-curve", "entropy-curve"),
        joined=("none", "luong-additive", "bahdanau-additive"),
    ),
    Study("attention-width", ("bleu-curve",)),
    Study("attention-heads", ("bleu-by-length", "bleu-curve")),
)


@dataclass(frozen=True)
class Work:
    """The corpus, and the folder of everything that is made of it."""

    corpus: Path
    folder: Path
    pictures: Path
    limit: str  # an option of `compare`
    jobs: int

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def text(self, split: str, side: str) -> Path:
        return self.corpus / f"{split}.{side}.gz"

    def joined(self, side: str) -> Path:
        return self.folder / f"joined.{side}"

    def comparison(self, study: Study) -> Path:
        return self.folder / study.name


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpus", type=Path, help="a folder of Multi30k")
    parser.add_argument("work", type=Path, help="a folder for the store and the comparisons")
    add_limit_arguments(parser, minutes=4.0)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each")
    parser.add_argument("--only", nargs="*", default=[], choices=[each.name for each in STUDIES])
    parser.add_argument("--output", type=Path, required=True, help="a Markdown file")
    asked = parser.parse_args(arguments)
    limit = f"--updates={asked.updates}" if asked.updates else f"--minutes={asked.minutes:g}"
    pictures = asked.output.with_suffix("")
    work = Work(asked.corpus, asked.work, pictures, limit, asked.jobs)
    work.folder.mkdir(parents=True, exist_ok=True)
    prepare(work)
    studies = [each for each in STUDIES if not asked.only or each.name in asked.only]
    for study in studies:
        compare(work, study)
        draw(work, study)
    write_page(page(work, studies), asked.output)


def prepare(work: Work) -> None:
    """The token store, and the text of long sentences."""
    train, valid = ([str(work.text(split, side)) for side in SIDES] for split in ("train", "val"))
    run_program(
        "preprocess", *train, str(work.store), "--valid-source", valid[0],
        "--valid-target", valid[1], f"--set=data.vocabulary_size={PIECES}",
    )  # fmt: skip
    for side in SIDES:
        lines = list(read_lines(work.text(TEST, side)))
        write_lines(work.joined(side), (f"{one} {next_}" for one, next_ in pairwise(lines)))


def compare(work: Work, study: Study) -> None:
    """Train and test what is not done yet."""
    source, reference = (str(work.text(TEST, side)) for side in SIDES)
    run_program(
        "compare", str(work.store), str(work.comparison(study)), f"--grid={study.grid}",
        work.limit, f"--jobs={work.jobs}", "--threads=1", f"--test-source={source}",
        f"--test-reference={reference}",
    )  # fmt: skip


def draw(work: Work, study: Study) -> None:
    """The charts of the page, as SVG files."""
    keep_charts(work, study.name, study.charts, [work.comparison(study)])
    if study.joined:
        trials = work.comparison(study) / "trials"
        runs = [trials / f"{system}-seed1" for system in study.joined]
        texts = (f"--test-{name}={work.joined(side)}" for name, side in
                 zip(("source", "reference"), SIDES, strict=True))  # fmt: skip
        keep_charts(
            work, f"{study.name}-joined", ["bleu-by-length"], runs, *texts, f"--bins={JOINED_BINS}"
        )


def keep_charts(
    work: Work, name: str, charts: Sequence[str], runs: Sequence[Path], *options: str
) -> None:
    drawn = work.folder / f"{name}-pictures"
    shutil.rmtree(drawn, ignore_errors=True)
    run_program("report", *map(str, runs), f"--pictures={drawn}", *options)
    work.pictures.mkdir(parents=True, exist_ok=True)
    for chart in charts:
        shutil.copyfile(drawn / f"{chart}.svg", work.pictures / f"{name}-{chart}.svg")


def page(work: Work, studies: Sequence[Study]) -> Iterator[str]:
    """The lines of a Markdown page."""
    unit, _, number = work.limit.removeprefix("--").partition("=")
    yield "# Attention on Multi30k"
    yield ""
    yield f"German to English, {PIECES:,} joint pieces, each trained for {number} {unit} on one"
    yield f"thread, {work.jobs} at a time; all else as `train` chooses it. {TEST}, beam 5, the best"
    yield "checkpoint by chrF of the validation; mean and standard deviation over three seeds,"
    yield "tested against the first row ([compare.md](compare.md#the-table)). This page is made by"
    yield "`python scripts/attention_study.py`."
    yield ""
    yield from made_on()
    for study in studies:
        grid = read_grid(study.grid)
        yield from ("", f"## {grid.title.removeprefix('Attention: ').capitalize()}", "")
        if grid.note:
            yield from (grid.note, "")
        yield f"Systems and settings: [{study.grid.name}](../scripts/sweeps/{study.grid.name})."
        yield ""
        table = run_program("compare", str(work.comparison(study)), "--show", "--format=markdown")
        yield table.rstrip("\n").replace(f"{work.corpus}/", f"{work.corpus.name}/")
        for chart in study.charts:
            yield from ("", picture(work, f"{study.name}-{chart}"))
        if study.joined:
            yield ""
            yield "Sentences of the test set joined in pairs, seed 1, for lengths that few training"
            yield "sentences have:"
            yield from ("", picture(work, f"{study.name}-joined-bleu-by-length"))


def picture(work: Work, name: str) -> str:
    return f"![{name.replace('-', ' ')}]({work.pictures.name}/{name}.svg)"


if __name__ == "__main__":
    main()
