"""`seq2seq compare`: a grid of trainings, tested on one test set."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands import options
from cli.terminal.console import note
from seq2seq.errors import ConfigError

StoreArgument = Annotated[
    Path,
    typer.Argument(metavar="STORE", help="A token store, written by `preprocess`."),
]
FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="A folder for the trials; one that was begun is continued."),
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
    typer.Option(metavar="NAME", help="As in train.  [chosen by the corpus and the minutes]"),
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
TestReferenceOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Reference translations of the test set.")
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
        min=1, metavar="J", help="Trials at the same time, which share the cores.  [one a core]"
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
    out: FolderArgument,
    attention: AttentionOption = None,
    score: ScoreOption = None,
    set_: SettingsOption = None,
    grid: GridOption = None,
    recipe: RecipeOption = None,
    seeds: SeedsOption = None,
    minutes: MinutesOption = None,
    updates: UpdatesOption = None,
    test_source: TestSourceOption = None,
    test_reference: TestReferenceOption = None,
    reference_links: ReferenceLinksOption = None,
    jobs: JobsOption = None,
    threads: TrialThreadsOption = None,
    device: options.Device = "auto",
    dry_run: DryRunOption = False,
) -> None:
    """Train every combination of settings from several seeds, and test each.

    Combinations that make no sense or no difference are left out, with the reason. Each trial is a
    run directory like any other. Whatever interrupts a comparison, the same command continues it;
    with more values or seeds it adds to it.
    """
    from cli.runs.comparison.grid import StoreFiles, build_grid, read_grid

    if minutes is not None and updates is not None:
        raise ConfigError("--minutes and --updates both end a trial", hint="give one of them")
    if (test_source is None) != (test_reference is None):
        raise ConfigError(
            "a test set has two sides", hint="give both --test-source and --test-reference"
        )
    asked = build_grid(
        read_grid(grid) if grid else None,
        attention=attention,
        score=score,
        settings=set_ or [],
        recipe=recipe,
        seeds=seeds,
    )
    test = (test_source, test_reference) if test_source and test_reference else None
    from cli.runs.comparison import plan as planning  # imports torch
    from cli.terminal import comparison as shown

    limits = planning.Limits(minutes, updates)
    plan = planning.make_plan(
        asked, StoreFiles(path=store, test=test, reference_links=reference_links), limits, note
    )
    jobs = jobs or planning.default_jobs(plan)
    if dry_run:
        shown.print_plan(out, plan, device=device, threads=threads, jobs=jobs)
        return
    with planning.opened(out, plan, threads=threads, jobs=jobs) as folder:
        shown.run_and_report(folder, plan, device=device, jobs=jobs)
    note(f"done; the results are in {out / 'results'}")
