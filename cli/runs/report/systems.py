"""The subject of a report: systems with their translations of one test set, and perhaps runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.runs.comparison.folder import ComparisonFolder, Trial
from cli.runs.directory import RunDirectory
from cli.runs.translator import Origin, Translator
from data.corpus import read_aligned, read_lines
from data.inputs import display_name, short_names
from seq2seq.errors import ConfigError


@dataclass(frozen=True)
class Output:
    """Translations of a test set, and the run that wrote them; None for another program's."""

    name: str  # of the file or run
    hypotheses: tuple[str, ...]
    run: RunDirectory | None = None


@dataclass(frozen=True)
class ReportedSystem:
    """One system, with an output for each of its seeds."""

    name: str
    outputs: tuple[Output, ...]

    @property
    def runs(self) -> list[RunDirectory]:
        return [output.run for output in self.outputs if output.run]


@dataclass(frozen=True)
class Subject:
    """All that a report is made of."""

    test: str  # where the test set came from
    sources: tuple[str, ...]
    references: tuple[str, ...]
    languages: tuple[str | None, str | None]
    systems: tuple[ReportedSystem, ...]
    comparison: ComparisonFolder | None = None


def subject_of_runs(
    paths: Sequence[Path],
    *,
    test: tuple[Path, Path] | None,
    against: str | None = None,
    device: str,
    threads: int | None,
    note: Callable[[str], None],
) -> Subject:
    """Runs with their translations of a test set, or the one folder of a comparison.

    test: source and reference; None: the validation set of the store, or that of the comparison
    against: the name of a system that there must be, as for `collect`

    Raises ConfigError where the runs do not fit each other.
    """
    if _is_comparison(paths[0]):
        if len(paths) > 1 or test:
            raise ConfigError(
                f"{paths[0]} is the folder of a comparison, which has a test set of its own",
                hint="give it alone, or give run directories, such as those in its trials",
            )
        return _subject_of_comparison(ComparisonFolder.open(paths[0]))
    runs = [RunDirectory.open(path) for path in paths]
    if len({run.languages for run in runs}) > 1:
        raise ConfigError(
            "the runs translate different languages", hint="report runs of one pair of languages"
        )
    names = short_names(paths)
    if len({*names}) < len(names):
        raise ConfigError("a run is given twice", hint="give each run once")
    compared_names(names, against)  # refuses before anything is translated
    sources, references, name = _test_lines(runs[0], test)
    systems = []
    for short, path, run in zip(names, paths, runs, strict=True):
        note(f"{path} translates {len(sources):,} sentences")
        translator = Translator.load(path, device=device, threads=threads)
        texts = tuple(each.text for each in translator.translate(sources))
        systems.append(ReportedSystem(short, (Output(str(path), texts, run),)))
    return Subject(name, tuple(sources), tuple(references), runs[0].languages, tuple(systems))


def files_read(paths: Sequence[Path]) -> list[Path]:
    """Everything that `subject_of_runs` and the alignments read: what a page must not replace.

    Also the trials of a comparison that are not finished. Raises what opening the runs raises.
    """
    files = list[Path]()
    if _is_comparison(paths[0]):
        folder = ComparisonFolder.open(paths[0])
        complete = folder.complete
        begun = (folder.run(each) for each in folder.comparison.trials if each not in complete)
        files += [*folder.own_files, *begun]
        paths = [folder.run(trial) for trial in complete]
    for path in paths:
        store = RunDirectory.open(path).store_path
        files += [*Origin(path).files, store]
    return files


def _is_comparison(path: Path) -> bool:
    return (path / "comparison.json").is_file()


def subject_of_files(
    source: Path,
    reference: Path,
    hypotheses: Sequence[Path],
    *,
    names: Sequence[str] | None,
    languages: tuple[str | None, str | None],
) -> Subject:
    """Files of translations, by any program; the systems have the given names, or the files'."""
    sources, references, *texts = read_aligned([source, reference, *hypotheses])
    names = names or short_names(hypotheses)
    if len({*names}) < len(names):
        raise ConfigError("two systems have the same name", hint="give each a --name of its own")
    systems = (
        ReportedSystem(name, (Output(display_name(path), tuple(lines)),))
        for name, path, lines in zip(names, hypotheses, texts, strict=True)
    )
    test = f"{display_name(source)} {display_name(reference)}"
    return Subject(test, tuple(sources), tuple(references), languages, tuple(systems))


def compared_names(names: Sequence[str], against: str | None) -> tuple[str, str] | None:
    """The first system and `against`, or else the last; None where there is only one.

    Raises ConfigError where `against` is no other system.
    """
    if against is not None and against not in names[1:]:
        others = "there are " + ", ".join(names[1:])
        raise ConfigError(
            f"there is no system {against!r} beside {names[0]}",
            hint=others if names[1:] else "leave out --against, or report several systems",
        )
    return (names[0], against or names[-1]) if len(names) > 1 else None


def _subject_of_comparison(folder: ComparisonFolder) -> Subject:
    complete = folder.complete
    done: dict[str, list[Trial]] = {}
    for system in folder.comparison.systems:
        if trials := [trial for trial in complete if trial.system == system]:
            done[system.name] = trials
    stores = {trials[0].system.store for trials in done.values()}
    if len(stores) != 1:
        what = "no complete trial" if not stores else "systems on several test sets"
        raise ConfigError(
            f"{folder.path} has {what}", hint="report the runs of one test set in its trials"
        )
    (store,) = stores
    sources, references = folder.test(store).read()
    described = folder.comparison.stores[store]
    systems = [
        ReportedSystem(
            name,
            tuple(
                Output(
                    trial.name,
                    tuple(read_lines(folder.translations(trial))),
                    RunDirectory.open(folder.run(trial)),
                )
                for trial in trials
            ),
        )
        for name, trials in done.items()
    ]
    return Subject(
        described.test,
        tuple(sources),
        tuple(references),
        described.languages,
        tuple(systems),
        folder,
    )


def _test_lines(
    run: RunDirectory, test: tuple[Path, Path] | None
) -> tuple[list[str], list[str], str]:
    if test:
        sources, references = read_aligned(test)
        return sources, references, " ".join(map(display_name, test))
    store = run.trained_store()
    if store is None:
        raise ConfigError(
            f"{run.store_path} is no longer the token store of {run.path}, so there is no "
            "validation set",
            hint="give a test set with --test-source and --test-reference",
        )
    return store.valid_text("source"), store.valid_text("target"), "validation set"
