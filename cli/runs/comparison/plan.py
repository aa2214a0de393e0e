"""From options to trials: every system's settings, the folder, what is left to do, and its time."""

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cli.runs.choice import UNLIMITED, Use
from cli.runs.comparison.folder import (
    VALIDATION_SET,
    ComparedStore,
    Comparison,
    ComparisonFolder,
    System,
    Trial,
    Unfit,
    create_folder,
    describe_store,
    refuse_other_settings,
)
from cli.runs.comparison.grid import (
    MAIN_STORE,
    Candidate,
    Grid,
    StoreFiles,
    effective,
    unused_settings,
)
from cli.runs.comparison.trial import Task
from cli.runs.config import RunConfig, Values, merge, read_recipe, resolve
from cli.runs.device import choose_device
from cli.runs.training_job import chosen_config
from cli.runs.trials import create_trials_folder
from cli.runs.word_links import word_counts
from data.corpus import SentencePair, read_aligned, read_lines
from data.inputs import display_name
from data.token_store import TokenStore
from seq2seq.errors import ConfigError
from seq2seq.evaluation.links import parse_reference_links, refuse_links_beyond
from seq2seq.system.cores import usable_cores
from seq2seq.system.locks import exclusive_lock

Lines = tuple[list[str], list[str]]
"""Source and reference of a test set."""


@dataclass(frozen=True)
class Limits:
    """When a trial ends: after so many minutes, or updates; else as its settings say."""

    minutes: float | None = None
    updates: int | None = None

    @property
    def settings(self) -> Values:
        if self.updates is not None:
            return {"training": {"updates": self.updates}}
        if self.minutes is not None:
            return {"training": {"minutes": self.minutes, "updates": UNLIMITED}}
        return {}


@dataclass(frozen=True)
class Plan:
    """Every system of a comparison, with the settings of its trials, on stores that are whole."""

    grid: Grid
    systems: tuple[System, ...]
    configs: dict[str, RunConfig]
    """By the name of a system."""
    left_out: tuple[Unfit, ...]
    stores: dict[str, TokenStore]
    tests: dict[str, Lines]
    described: dict[str, ComparedStore]
    reference_links: dict[str, list[str]]
    """Lines of links that people drew, for the stores that have some."""

    @property
    def trials(self) -> list[Trial]:
        return [Trial(system, seed) for seed in self.grid.seeds for system in self.systems]

    def config(self, trial: Trial) -> RunConfig:
        """The settings of a system with the seed of a trial."""
        config = self.configs[trial.system.name]
        seeded = {"training": {"seed": trial.seed}}
        return resolve(config.model_dump(exclude_none=True), seeded)


def make_plan(
    grid: Grid,
    main: StoreFiles,
    limits: Limits,
    note: Callable[[str], None],
) -> Plan:
    """Resolve and check everything; nothing is written. Raises ConfigError or CorpusError."""
    recipe = read_recipe(grid.recipe, note) if grid.recipe else None
    candidates = list(grid.candidates())
    used = dict.fromkeys(candidate.entry.store for candidate in candidates)
    files = {name: {MAIN_STORE: main, **grid.stores}[name] for name in used}
    stores, tests, described = dict[str, TokenStore](), dict[str, Lines](), {}
    reference_links = dict[str, list[str]]()
    for name, paths in files.items():
        stores[name] = TokenStore.open(paths.path)
        stores[name].verify()
        tests[name] = _test_set(paths, stores[name])
        described[name] = describe_store(
            stores[name],
            name=" ".join(map(display_name, paths.test)) if paths.test else VALIDATION_SET,
            lines=tests[name],
            reference_links=paths.reference_links is not None,
        )
        if paths.reference_links:
            reference_links[name] = _read_reference_links(paths.reference_links, tests[name])
    configs, systems, left_out = _fitting(candidates, stores, recipe, limits)
    return Plan(
        grid=grid,
        systems=tuple(systems),
        configs=configs,
        left_out=tuple(left_out),
        stores=stores,
        tests=tests,
        described=described,
        reference_links=reference_links,
    )


def _common_use(candidates: Sequence[Candidate], recipe: Values | None, limits: Limits) -> Use:
    """The settings of small corpora that fit every model whose settings are not refused."""
    uses = list[Use]()
    for candidate in candidates:
        with suppress(ConfigError):
            uses.append(Use.of(resolve(recipe or {}, merge(candidate.values, limits.settings))))
    return Use(*(all(each) for each in zip(*uses, strict=True)))


def _fitting(
    candidates: Sequence[Candidate],
    stores: dict[str, TokenStore],
    recipe: Values | None,
    limits: Limits,
) -> tuple[dict[str, RunConfig], list[System], list[Unfit]]:
    """Settings by the name of a system, the systems, and what is left out with the reason.

    Where one system could not have a lexicon or guided alignment, none has it unless it is asked
    for: so they differ only in what is compared.
    """
    configs, systems, left_out = dict[str, RunConfig](), list[System](), list[Unfit]()
    seen: dict[tuple[str, str], str] = {}  # the name of each system by what has an effect
    first_error: ConfigError | None = None
    use = _common_use(candidates, recipe, limits)
    for candidate in candidates:
        store = candidate.entry.store
        try:
            given = merge(candidate.values, limits.settings)
            config, _ = chosen_config(stores[store], recipe, given, use)
        except ConfigError as error:
            first_error = first_error or error
            left_out.append(Unfit(name=candidate.name(), reason=error.message))
            continue
        unused = {f"model.{name}": why for name, why in unused_settings(config.model).items()}
        name = candidate.name(unused)
        same = seen.setdefault((store, effective(config)), name)
        if same != name or name in configs:
            idle = [f"{n} has no effect {unused[n]}" for n, _ in candidate.chosen if n in unused]
            reason = "; ".join([*idle, f"the same as {same}"])
            left_out.append(Unfit(name=candidate.name(), reason=reason))
            continue
        configs[name] = config
        systems.append(
            System(name=name, store=store, settings=candidate.settings, why=candidate.entry.why)
        )
    if not systems:
        assert first_error
        raise first_error
    slugs = [system.slug for system in systems]
    if len({*slugs}) < len(slugs):
        raise ConfigError(
            f"two systems would have the folder {next(s for s in slugs if slugs.count(s) > 1)}",
            hint="give them names that differ in more than punctuation",
        )
    return configs, systems, left_out


def _test_set(files: StoreFiles, store: TokenStore) -> Lines:
    if files.test is None:
        return store.valid_text("source"), store.valid_text("target")
    source, reference = read_aligned(files.test)
    return source, reference


def _read_reference_links(path: Path, test: Lines) -> list[str]:
    """Raises CorpusError for what is no file of links of these sentences."""
    lines = list(read_lines(path))
    name = display_name(path)
    links = parse_reference_links(lines, name=name, sentences=len(test[0]))
    pairs = (SentencePair(*sides) for sides in zip(*test, strict=True))
    refuse_links_beyond(links, word_counts(pairs), name=name)
    return lines


@contextmanager
def opened(path: Path, plan: Plan, *, threads: int | None, jobs: int) -> Iterator[ComparisonFolder]:
    """The folder of the plan, for this process alone: a new one, or one that is continued, with
    what it has already.

    threads: of each trial; None: the usable cores shared out, or as the comparison was begun
    """
    if not ComparisonFolder(path).description.is_file():
        create_trials_folder(path.absolute().parent)
        tests = {name: (*plan.tests[name], plan.reference_links.get(name)) for name in plan.stores}
        create_folder(path, tests, _new_comparison(plan, threads or default_threads(jobs)))
    with exclusive_lock(path / ".lock", f"{path} is being compared"):
        folder = ComparisonFolder.open(path)
        check_folder(folder, plan, threads=threads)
        yield folder.write(_joined(folder.comparison, plan))


def check_folder(folder: ComparisonFolder, plan: Plan, *, threads: int | None) -> None:
    """Raises ConfigError where the folder was begun with other settings or data."""
    path = folder.path
    _refuse_other_data(folder, plan)
    if threads is not None and threads != folder.comparison.threads:
        raise ConfigError(
            f"{path} was begun with {folder.comparison.threads} threads for each trial",
            hint="leave out --threads: other numbers of threads give other rounding",
        )
    stores = {system.name: system.store for system in folder.comparison.systems}
    for system in plan.systems:
        if stores.get(system.name, system.store) != system.store:
            raise ConfigError(
                f"{path} has {system.name} on the store {stores[system.name]}",
                hint="give the system on another store another name",
            )
    for trial in plan.trials:
        refuse_other_settings(folder, trial, plan.config(trial))


def _new_comparison(plan: Plan, threads: int) -> Comparison:
    packages = ("seq2seq-trainer", "torch", "sentencepiece", "sacrebleu")
    return Comparison(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command_line=tuple(sys.argv),
        machine=f"{platform.platform()}, {usable_cores()} cores",
        versions={"python": platform.python_version(), **{n: version(n) for n in packages}},
        threads=threads,
        recipe=plan.grid.recipe,
        seeds=plan.grid.seeds,
        stores=plan.described,
        systems=plan.systems,
        left_out=plan.left_out,
    )


def _joined(before: Comparison, plan: Plan) -> Comparison:
    """The comparison in the folder with what a plan adds: further systems come last, so that the
    first one stays the baseline."""
    systems = {system.name: system for system in (*before.systems, *plan.systems)}
    left_out = {unfit.name: unfit for unfit in (*before.left_out, *plan.left_out)}
    return before.model_copy(
        update={
            "systems": tuple(systems.values()),
            "seeds": tuple(sorted({*before.seeds, *plan.grid.seeds})),
            "stores": before.stores | plan.described,
            "left_out": tuple(each for name, each in left_out.items() if name not in systems),
        }
    )


def _refuse_other_data(folder: ComparisonFolder, plan: Plan) -> None:
    for name, store in folder.comparison.stores.items():
        wanted = plan.described.get(name)
        if wanted is None:
            continue
        if wanted.sha256 != store.sha256:
            what = f"the token store {store.path}"
        elif wanted.test_sha256 != store.test_sha256:
            what = f"the test set {store.test}"
        elif wanted.reference_links != store.reference_links:
            what = "links for AER" if store.reference_links else "no links for AER"
        else:
            continue
        raise ConfigError(
            f"{folder.path} was begun with {what}, as it was then",
            hint="continue with that, or compare into another folder",
        )
    for name in plan.described.keys() - folder.comparison.stores.keys():
        raise ConfigError(
            f"{folder.path} was begun without the store {name}",
            hint="compare into another folder",
        )


def tasks_left(folder: ComparisonFolder, plan: Plan, *, device: str, threads: int) -> list[Task]:
    """The trials of the plan that have no result yet; all of them where there is no folder."""
    return [
        Task(
            name=trial.name,
            system=trial.system.name,
            seed=trial.seed,
            run=folder.run(trial),
            config=plan.config(trial),
            store=plan.stores[trial.system.store].path,
            learnt=folder.learnt,
            test=folder.test(trial.system.store),
            has_reference_links=trial.system.store in plan.reference_links,
            translations=folder.translations(trial),
            result=folder.result_path(trial),
            device=device,
            threads=threads,
        )
        for trial in plan.trials
        if folder.result(trial) is None
    ]


def default_threads(jobs: int) -> int:
    """Threads of each trial: the usable cores, shared out among the jobs."""
    return max(1, usable_cores() // jobs)


def default_jobs(plan: Plan, device: str) -> int:
    """Trials at a time: as many as there are cores and trials, since small models train best on a
    thread each; on a GPU one."""
    if choose_device(device) != "cpu":
        return 1
    return max(1, min(usable_cores(), len(plan.trials)))
