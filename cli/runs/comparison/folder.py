"""The folder of a comparison: what is compared, the trials, and what was measured on each."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cli.runs.comparison.grid import slug
from cli.runs.config import RunConfig
from cli.runs.directory import RunDirectory
from cli.runs.output import write_lines
from data.corpus import read_aligned
from data.token_store import TokenStore
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.system.files import read_json, replacing_directory, write_json

FORMAT_VERSION = 1
VALIDATION_SET = "validation set"


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComparedStore(_Stored):
    """A token store with its test set, whose lines are in tests/NAME.source and .reference."""

    path: Path
    sha256: str
    languages: tuple[str | None, str | None]
    test: str  # where the test set came from
    test_sha256: tuple[str, str]  # of source and reference
    sentences: int
    reference_links: bool = False  # whether people drew links, which are in tests/NAME.links


class System(_Stored):
    """A choice of settings, trained once from each seed."""

    name: str
    store: str
    settings: tuple[str, ...]  # as they were typed
    why: str = ""

    @property
    def slug(self) -> str:
        return slug(self.name)


class Unfit(_Stored):
    """A point of the grid that is not trained, and the reason."""

    name: str
    reason: str


class Comparison(_Stored):
    """comparison.json."""

    format_version: int = FORMAT_VERSION
    created: str
    command_line: tuple[str, ...]
    machine: str
    versions: dict[str, str]
    threads: int  # of each trial
    recipe: str | None
    seeds: tuple[int, ...]
    stores: dict[str, ComparedStore]
    systems: tuple[System, ...]
    left_out: tuple[Unfit, ...] = ()

    @property
    def trials(self) -> list["Trial"]:
        """All trials, seed by seed, so that an unfinished comparison has some of every system."""
        return [Trial(system, seed) for seed in self.seeds for system in self.systems]


class Score(_Stored):
    """A score of a test set, with sacreBLEU's signature."""

    score: float
    signature: str


class Result(_Stored):
    """results/NAME.json: what was measured on a trial."""

    system: str
    seed: int
    status: str  # complete, diverged or out of memory
    ended: str  # why training ended, or how the trial failed
    parameters: int
    updates: int = 0
    best_update: int = 0
    target_tokens: int = 0  # trained on
    seconds: float = 0.0  # of training, validations included
    peak_memory: int | None = None  # bytes, of the process that ended the training
    threads: int = 1
    checkpoint: str | None = None
    model_sha256: str | None = None
    beam: int | None = None
    translation_seconds: float | None = None
    test_nats_per_token: float | None = None
    bleu: Score | None = None
    chrf: Score | None = None
    ter: Score | None = None
    aer: float | None = None  # of attention while it writes the references
    aer_shift: int | None = None  # which guided alignment taught, else the one with the lowest AER

    @property
    def tokens_per_second(self) -> float | None:
        return self.target_tokens / self.seconds if self.seconds else None


@dataclass(frozen=True)
class Trial:
    """One training of a system."""

    system: System
    seed: int

    @property
    def name(self) -> str:
        return f"{self.system.slug}-seed{self.seed}"


@dataclass(frozen=True)
class TestFiles:
    """The test set of a store, in the folder of the comparison."""

    __test__ = False  # no test class of pytest

    source: Path
    reference: Path
    reference_links: Path

    def read(self) -> tuple[list[str], list[str]]:
        """Source and reference lines."""
        source, reference = read_aligned([self.source, self.reference])
        return source, reference


@dataclass(frozen=True)
class ComparisonFolder:
    """A comparison by its path."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> "ComparisonFolder":
        """Raises CheckpointError where there is none, or one of another version."""
        folder = cls(path)
        if not folder.description.is_file():
            raise CheckpointError(
                f"{path} is not the folder of a comparison",
                hint="make one with `seq2seq compare STORE OUT`",
            )
        _ = folder.comparison
        return folder

    @property
    def description(self) -> Path:
        return self.path / "comparison.json"

    @cached_property
    def comparison(self) -> Comparison:
        try:
            values = read_json(self.description)
            if values["format_version"] == FORMAT_VERSION:
                return Comparison.model_validate(values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.description} is damaged", hint="restore it, or compare anew"
            ) from error
        raise CheckpointError(
            f"{self.path} has format version {values['format_version']}, this program reads "
            f"{FORMAT_VERSION}",
            hint="use the version of seq2seq that wrote it",
        )

    def write(self, comparison: Comparison) -> "ComparisonFolder":
        """Write comparison.json; returns the folder with it."""
        write_json(self.description, comparison.model_dump(mode="json"))
        return replace(self)

    @property
    def own_files(self) -> list[Path]:
        """Everything that a comparison writes but its trials: a user's files may lie beside it."""
        names = ("significance.json", "learnt", "tests", "translations", "results")
        return [self.description, *(self.path / name for name in names)]

    @property
    def complete(self) -> list[Trial]:
        """The trials that were trained to their end."""
        return [trial for trial, result in self.results.items() if result.status == "complete"]

    @property
    def learnt(self) -> Path:
        """The folder of what trials learn from their stores, once for all."""
        return self.path / "learnt"

    def run(self, trial: Trial) -> Path:
        return self.path / "trials" / trial.name

    def translations(self, trial: Trial) -> Path:
        return self.path / "translations" / trial.name

    def result_path(self, trial: Trial) -> Path:
        return self.path / "results" / f"{trial.name}.json"

    def test(self, store: str) -> TestFiles:
        folder, name = self.path / "tests", slug(store)
        return TestFiles(*(folder / f"{name}.{what}" for what in ("source", "reference", "links")))

    def result(self, trial: Trial) -> Result | None:
        """None for a trial that is not done; raises CheckpointError for a damaged file."""
        path = self.result_path(trial)
        if not path.is_file():
            return None
        try:
            return Result.model_validate(read_json(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged", hint="remove it, and compare again: the run is kept"
            ) from error

    @property
    def results(self) -> dict[Trial, Result]:
        """The trials that are done, in the order of the comparison."""
        found = {trial: self.result(trial) for trial in self.comparison.trials}
        return {trial: result for trial, result in found.items() if result}


def create_folder(
    path: Path,
    tests: Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str] | None]],
    comparison: Comparison,
) -> ComparisonFolder:
    """A new folder with test sets and comparison.json, there whole or not at all.

    tests: by the name of a store, source and reference lines, and lines of links that people drew
    """
    if path.exists():
        raise occupied(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_directory(path) as partial:
        for name in ("tests", "trials", "translations", "results"):
            (partial / name).mkdir()
        folder = ComparisonFolder(partial)
        for store, (source, reference, reference_links) in tests.items():
            files = folder.test(store)
            write_lines(files.source, source)
            write_lines(files.reference, reference)
            if reference_links is not None:
                write_lines(files.reference_links, reference_links)
        folder.write(comparison)
    return ComparisonFolder(path)


def occupied(path: Path) -> ConfigError:
    """The error for a path at which there is something else."""
    return ConfigError(
        f"{path} exists and is not the folder of a comparison", hint="choose another path"
    )


def describe_store(
    store: TokenStore,
    *,
    name: str,
    lines: tuple[Sequence[str], Sequence[str]],
    reference_links: bool,
) -> ComparedStore:
    """name: where the test set came from"""
    hashes = [hashlib.sha256("\n".join(side).encode()).hexdigest() for side in lines]
    return ComparedStore(
        path=store.path.absolute(),
        sha256=store.sha256,
        languages=store.languages,
        test=name,
        test_sha256=(hashes[0], hashes[1]),
        sentences=len(lines[0]),
        reference_links=reference_links,
    )


def refuse_other_settings(folder: ComparisonFolder, trial: Trial, config: RunConfig) -> None:
    """Raises ConfigError where a trial was begun with other settings."""
    path = folder.run(trial)
    if not path.exists():
        return
    found = RunDirectory.open(path).config
    planned = (
        "validate_every", "validation_sentences", "validation_beam", "perplexity_sentences",
    )  # fmt: skip
    wanted, have = config.model_dump(), found.model_dump()
    for name in planned:  # were chosen when the run was created, unless they were given
        if wanted["training"][name] is None:
            wanted["training"].pop(name)
            have["training"].pop(name)
    differing = [
        f"{section}.{name}"
        for section in wanted
        for name in wanted[section]
        if wanted[section][name] != have[section].get(name)
    ]
    if differing:
        raise ConfigError(
            f"{path} was begun with another {', '.join(differing)}",
            hint="continue with the options that the comparison was begun with, or compare into "
            "another folder",
        )
