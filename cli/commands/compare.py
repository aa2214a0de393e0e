"""`seq2seq compare`: a grid of trainings, tested on one test set."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note
from seq2seq.errors import ConfigError
from seq2seq.system.shell import command


class Format(StrEnum):
    """How a table is written."""

    TEXT = "text"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


StoreArgument = Annotated[
    Path,
    typer.Argument(
        metavar="STORE",
        help="A token store, written by `preprocess`; with --show the folder of a comparison.",
    ),
]
FolderArgument = Annotated[
    Path | None,
    typer.Argument(metavar="OUT", help="A folder for the trials; one that was begun is continued."),
]
ShowOption = Annotated[
    bool,
    typer.Option("--show", help="Train nothing: print the table of a comparison, finished or not."),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="With --show: how the table is written.  [text]"),
]
TableAsJson = Annotated[bool, typer.Option("--json", help="With --show: print one JSON object.")]
SortOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="With --show: the best first by perplexity, bleu, chrf, ter, aer, parameters, "
        "tokens_per_second, seconds_to_bleu or memory; or by system.",
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        metavar="SYSTEM", help="With --show: test all others against this system.  [the first]"
    ),
]
ToBleuOption = Annotated[
    float | None,
    typer.Option(
        metavar="B",
        help="With --show: the validation BLEU that times are counted to.  [what all reach]",
    ),
]
SignificanceOption = Annotated[
    bool | None,
    typer.Option(
        "--significance/--no-significance",
        help="With --show: test differences by paired bootstrap and approximate randomisation.",
    ),
]
AttentionOption = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Kinds of attention: none, luong, bahdanau, conditional."),
]
ScoreOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Scores: dot, scaled_dot, general, additive, concat, concat_fixed, location.",
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.NAME=A,B",
        help="Any setting, with one value for all systems or with several to compare; may be "
        "repeated. docs/settings.md lists the settings.",
    ),
]
GridOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A TOML file with systems that are no product of values, or on several stores; "
        "docs/compare.md describes it.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="As in train.  [chosen by the corpus and the length of training]"
    ),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Train each system from seeds 1 to N.  [1]")
]
MinutesOption = Annotated[
    float | None, typer.Option(metavar="M", help="Train each for so many minutes.")
]
UpdatesOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Train each for so many updates.")
]
TestSourceOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Source of the test set.  [the validation set of the store]"),
]
ReferenceLinksOption = Annotated[
    Path | None,
    typer.Option(
        "--gold",
        metavar="FILE",
        help="Links of the test set that people drew, for AER, as in align --gold.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="J",
        help="Trials at the same time, which share the cores.  [one a core; on a GPU 1]",
    ),
]
TrialThreadsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPU threads of each trial.  [cores / jobs]")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the plan with the expected time, and train nothing."),
]


def compare(
    store: StoreArgument,
    out: FolderArgument = None,
    attention: AttentionOption = None,
    score: ScoreOption = None,
    set_: SettingsOption = None,
    grid: GridOption = None,
    recipe: RecipeOption = None,
    seeds: SeedsOption = None,
    minutes: MinutesOption = None,
    updates: UpdatesOption = None,
    test_source: TestSourceOption = None,
    test_reference: options.TestReference = None,
    reference_links: ReferenceLinksOption = None,
    jobs: JobsOption = None,
    threads: TrialThreadsOption = None,
    device: options.Device = "auto",
    dry_run: DryRunOption = False,
    show: ShowOption = False,
    format_: FormatOption = None,
    sort: SortOption = None,
    baseline: BaselineOption = None,
    to_bleu: ToBleuOption = None,
    significance: SignificanceOption = None,
    json: TableAsJson = False,
) -> None:
    """Train every combination of settings, and test each.

    With several seeds the table has means, spreads and significance. Combinations that make no
    sense or no difference are left out, with the reason. Each trial is a run directory like any
    other. Whatever interrupts a comparison, the same command continues it; with more values or
    seeds it adds to it. `seq2seq compare OUT --show` prints the results.
    """
    if show:
        trained = {
            "attention": attention, "score": score, "set": set_, "grid": grid, "recipe": recipe,
            "seeds": seeds, "minutes": minutes, "updates": updates, "test-source": test_source,
            "test-reference": test_reference, "gold": reference_links, "jobs": jobs,
            "threads": threads, "dry-run": dry_run or None,
        }  # fmt: skip
        _refuse(trained, hint="with --show nothing is trained: leave it out")
        if json and format_:
            raise ConfigError("--json and --format both say how to write", hint="give one of them")
        from cli.terminal.comparison_table import print_comparison

        print_comparison(
            out or store,
            form=(format_ or Format.TEXT).value,
            as_json=json,
            sort=sort,
            baseline=baseline,
            to_bleu=to_bleu,
            significance=significance is not False,
        )
        return
    shown = {
        "format": format_, "sort": sort, "baseline": baseline, "to-bleu": to_bleu,
        "significance": significance, "json": json or None,
    }  # fmt: skip
    _refuse(shown, hint="it says how results are shown: add --show")
    if out is None:
        raise ConfigError(
            "there is no OUT, a folder for the trials",
            hint="seq2seq compare STORE OUT, or seq2seq compare OUT --show",
        )
    from cli.runs.comparison.grid import StoreFiles, build_grid, read_grid

    if minutes is not None and updates is not None:
        raise ConfigError("--minutes and --updates both end a trial", hint="give one of them")
    test = options.test_set(test_source, test_reference)
    asked = build_grid(
        read_grid(grid) if grid else None,
        attention=attention,
        score=score,
        settings=set_ or [],
        recipe=recipe,
        seeds=seeds,
    )
    from cli.runs.comparison import plan as planning  # imports torch
    from cli.terminal import comparison

    limits = planning.Limits(minutes, updates)
    plan = planning.make_plan(
        asked, StoreFiles(path=store, test=test, reference_links=reference_links), limits, note
    )
    jobs = jobs or planning.default_jobs(plan, device)
    if dry_run:
        comparison.print_plan(out, plan, device=device, threads=threads, jobs=jobs)
        return
    with planning.opened(out, plan, threads=threads, jobs=jobs) as folder:
        comparison.run_and_report(folder, plan, device=device, jobs=jobs)
    note("next: " + command("compare", out, "--show"))


def _refuse(given: Mapping[str, object | None], *, hint: str) -> None:
    """Raises ConfigError for the first option that was given."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--{name} has no effect here", hint=hint)
