"""`seq2seq train`: a token store becomes a run directory."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.commands import options
from cli.runs.joining import (
    device_of_rank,
    is_begun,
    joined_ranks,
    launched_rank,
    launched_size,
    threads_of_rank,
)
from cli.runs.launching import launch
from cli.terminal.console import note
from seq2seq.errors import ConfigError
from seq2seq.system.shell import command

StoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="A token store, written by `preprocess`.")
]
RunArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A new folder, for the run directory; with --resume an existing one.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A fixed set of settings: tiny, small, base, or the path of a TOML file.  [chosen by "
        "the corpus and the length of training]",
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Build a published model, its states about a quarter as wide; `seq2seq describe NAME` "
        "shows it, docs/presets.md lists all.",
    ),
]
PaperSizesOption = Annotated[
    bool, typer.Option("--paper-sizes", help="Build the preset at its published size.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.NAME=VALUE",
        help="Change any setting, such as training.updates=20000; may be repeated. "
        "docs/settings.md lists the settings.",
    ),
]
StartFromOption = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Start with the model and the best weights of this run."),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Continue the training of RUN where it stopped.")
]
TuneOption = Annotated[
    float | None,
    typer.Option(
        metavar="MINUTES",
        help="First search the settings that matter most, for so many minutes; the trials are kept "
        "in RUN.trials.",
    ),
]
MinutesOption = Annotated[
    float | None, typer.Option(metavar="N", help="Stop after so many minutes of training.")
]

ProcessesOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Processes that share out every batch, on this machine; each has its part of the "
        "cores, or --threads of its own.",
    ),
]


def train(
    store: StoreArgument,
    run: RunArgument,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    paper_sizes: PaperSizesOption = False,
    attention: options.Attention = None,
    score: options.Score = None,
    set_: SettingsOption = None,
    start_from: StartFromOption = None,
    resume: ResumeOption = False,
    minutes: MinutesOption = None,
    tune: TuneOption = None,
    seed: options.Seed = None,
    processes: ProcessesOption = 1,
    threads: options.TrainingThreads = None,
    device: options.Device = "auto",
) -> None:
    """Train a model, with validation and checkpoints.

    Settings are chosen by the size of the corpus and the minutes or updates, unless a recipe is
    named; then come --preset, --set and the other options, of which the later one wins. Ctrl-C
    saves a checkpoint and stops; --resume continues from there. A second Ctrl-C stops at once.

    --tune searches around the settings that would be used without it; those that are given stay.
    A trial takes as long as the run, but at most a sixth of MINUTES, and ends early where it falls
    behind. After an interruption the same command continues the search.

    --start-from continues on other data: STORE must have the same subword pieces (`preprocess
    --pieces-of`), the model is that of the other run, and the recipe only gives the settings of
    the training.

    --processes shares out every batch among processes on this machine, with the losses of one;
    torchrun does so on several machines (docs/scale.md).
    """
    from cli.runs import config

    say = note if launched_rank() == 0 else config.ignore
    flags = {
        "model": _given(attention=attention and attention.value, score=score and score.value),
        "training": _given(minutes=minutes, seed=seed),
    }
    settings = config.merge(config.parse_settings(set_ or [], say), flags)
    if tune is not None and max(processes, launched_size()) > 1:
        raise ConfigError(
            "--tune searches with one process", hint="leave out --tune, or the other processes"
        )
    if processes > 1 and launched_size() == 1:
        raise typer.Exit(launch(processes, sys.argv[1:]))
    if resume:
        _refuse_beside_resume(
            recipe=recipe,
            preset=preset,
            paper_sizes=paper_sizes or None,
            start_from=start_from,
            tune=tune,
        )
    from cli.runs import training_job  # imports torch: a mistyped setting is refused before

    own_device, own_threads = device_of_rank(device), threads_of_rank(threads)

    def first_job() -> training_job.TrainingJob:
        if resume or is_begun(run):
            return training_job.resume_job(
                run,
                store,
                settings=settings,
                device=own_device,
                threads=own_threads,
                note=say,
            )
        new = training_job.new_run(
            run,
            store,
            recipe=recipe,
            preset=training_job.preset_settings(preset, paper_sizes=paper_sizes),
            settings=settings,
            start_from=start_from,
            device=own_device,
            threads=own_threads,
            note=say,
        )
        if tune is not None:
            from cli.terminal.tuning import tune_and_report

            new = tune_and_report(new, tune)
        return new.create(say)

    with joined_ranks(device=own_device) as ranks:
        job = training_job.job_of_rank(
            ranks, first_job, run=run, store=store, device=own_device, threads=own_threads
        )
        if job.finished:
            say(f"{run} is finished already: {job.finished}; nothing was done")
            say("next: " + command("translate", run))
            return
        with job.underway(threads=threads, device=device):
            from cli.terminal.training import train_and_report

            train_and_report(job, ranks, own_threads)


def _given(**values: Any) -> dict[str, Any]:
    """The options that were given, by the names of their settings."""
    return {name: value for name, value in values.items() if value is not None}


def _refuse_beside_resume(**options_: object | None) -> None:
    """Raises ConfigError for options that are chosen once, when a run is created."""
    if given := [f"--{name.replace('_', '-')}" for name in _given(**options_)]:
        raise ConfigError(
            "a run that is resumed has its settings already",
            hint=f"leave out {' and '.join(given)}",
        )
