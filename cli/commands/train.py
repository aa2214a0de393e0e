"""The command `train`: a token store, a recipe and perhaps a preset become a run directory."""

import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from cli.runs.directory import RunDirectory
    from cli.runs.warm_start import Origin
    from data.token_store import TokenStore


class AttentionOrder(StrEnum):
    """When the decoder looks at the source."""

    NONE = "none"
    LUONG = "luong"
    BAHDANAU = "bahdanau"
    CONDITIONAL = "conditional"


class ScoreName(StrEnum):
    """How a query is compared with a key."""

    DOT = "dot"
    SCALED_DOT = "scaled_dot"
    GENERAL = "general"
    ADDITIVE = "additive"
    CONCAT = "concat"
    CONCAT_FIXED = "concat_fixed"
    LOCATION = "location"


DEFAULT_RECIPE = "small"
Settings = dict[str, dict[str, Any]]  # by section


def train(
    store: Annotated[Path, typer.Argument(help="A token store, made by `preprocess`.")],
    run: Annotated[Path, typer.Argument(help="The run directory to write, a new folder.")],
    recipe: Annotated[
        str | None, typer.Option(help="tiny, small, base, or a TOML file of your own.  [small]")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A published model over the recipe; `describe NAME` shows it."),
    ] = None,
    paper_sizes: Annotated[
        bool, typer.Option("--paper-sizes", help="The preset's widths and layers as published.")
    ] = False,
    attention: Annotated[
        AttentionOrder | None, typer.Option(help="When the decoder looks at the source.")
    ] = None,
    score: Annotated[
        ScoreName | None, typer.Option(help="How a query is compared with a key.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.NAME=VALUE", help="Any setting; docs/settings.md has them."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Begin with the model and best weights of this run, on other data."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where RUN stopped.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Training time at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads torch uses.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a model, with validation and checkpoints.

    A later one of recipe, preset, --set and the other options wins. The first Ctrl-C saves and
    leaves; `--resume` goes on from there. `--start-from` takes the whole model of another run,
    whose pieces the store must have (`preprocess --pieces-of`); of the recipe the training counts.
    """
    from cli.runs.config import parse_settings
    from cli.runs.interruption import Interrupted, Terminated
    from cli.terminal.console import note

    flags: Settings = {"model": {}, "training": {}}
    flags["model"] |= {"attention": attention.value} if attention else {}
    flags["model"] |= {"score": score.value} if score else {}
    flags["training"] |= {"minutes": minutes} if minutes is not None else {}
    flags["training"] |= {"seed": seed} if seed is not None else {}
    asked = (parse_settings(set_ or []), flags)
    if resume:
        _refuse_choices(
            {
                "--recipe": recipe,
                "--preset": preset,
                "--paper-sizes": paper_sizes or None,
                "--start-from": start_from,
            }
        )
        ready = _reopened(run, store, *asked, device=device, threads=threads)
        if isinstance(ready, str):
            note(f"{run} is finished already: {ready}; nothing was done")
            note(f"next: seq2seq translate {run} --interactive")
            return
    else:
        ready = _made(
            run,
            store,
            recipe=recipe or DEFAULT_RECIPE,
            preset=_preset_values(preset, paper_sizes=paper_sizes),
            start_from=start_from,
            asked=asked,
            device=device,
            threads=threads,
        )
    try:
        _train(ready)
    except (Interrupted, KeyboardInterrupt, Terminated) as error:
        leave(error, run, store)
    except Exception:
        # Not even begun: too large a model, for example. One that was there may be another's.
        if not resume and not ready.run.metrics.exists():
            shutil.rmtree(run)
        raise


class _Ready(NamedTuple):
    """All that training needs."""

    run: "RunDirectory"
    store: "TokenStore"
    device: str


def _reopened(
    run: Path, store: Path, settings: Settings, flags: Settings, *, device: str, threads: int | None
) -> _Ready | str:
    """A run to go on with, its settings changed as asked; or why nothing is left to do."""
    from cli.runs.device import choose_device
    from cli.runs.directory import RunDirectory
    from cli.runs.resumption import change, finished
    from cli.runs.training import check_resumable
    from data.token_store import TokenStore

    opened = RunDirectory.open(run)
    tokens = TokenStore.open(store)
    check_resumable(opened, tokens)
    tokens.verify()
    chosen = choose_device(device, threads)
    if reason := finished(opened, settings, flags):
        return reason
    with opened.lock():
        change(opened, settings, flags)
    return _Ready(opened, tokens, chosen)


def _made(
    run: Path,
    store: Path,
    *,
    recipe: str,
    preset: Settings,
    start_from: Path | None,
    asked: tuple[Settings, Settings],
    device: str,
    threads: int | None,
) -> _Ready:
    """A new run, once everything that was asked for is known to go together."""
    from cli.runs.config import read_recipe, resolve
    from cli.runs.device import choose_device
    from cli.runs.directory import RunDirectory
    from data.token_store import TokenStore

    RunDirectory.refuse_existing(run)
    layers = (read_recipe(recipe), preset, *asked)
    _refuse_data_settings(layers)
    resolve(*layers)  # every setting is checked before the data is opened
    tokens = TokenStore.open(store)
    origin = _origin(start_from, tokens, preset)
    if origin:
        layers = (read_recipe(recipe), origin.settings, *asked)
        origin.refuse_other_model(resolve(*layers))
    _check_tying(resolve(*layers).model.tie_embeddings, tokens)
    tokens.corpora(resolve(*layers).training.corpus_weights)  # refuses what it does not have
    tokens.verify()
    chosen = choose_device(device, threads)
    config = resolve(*layers, {"data": tokens.meta["config"]})
    started = origin.provenance() if origin else None
    return _Ready(RunDirectory.create(run, config, tokens, started_from=started), tokens, chosen)


def _train(ready: _Ready) -> None:
    from cli.runs.summary import write_report
    from cli.runs.training import train_run
    from cli.terminal.console import note
    from cli.terminal.live import training_reporter

    run, store, device = ready
    outcome = train_run(run, store, device=device, reporter=training_reporter(run))
    if not outcome.trained:
        note(f"{run.path} is finished already: {outcome.reason}; nothing was done")
    if outcome.state.validated and (outcome.trained or not run.report.is_file()):
        for line in write_report(run, store, outcome):
            note(line)
    note(f"next: seq2seq translate {run.path} --interactive")


def _origin(path: Path | None, store: "TokenStore", preset: Settings) -> "Origin | None":
    from cli.runs.warm_start import Origin
    from seq2seq.errors import ConfigError

    if path is None:
        return None
    if preset:
        raise ConfigError(
            "--start-from and --preset both say what the model is", hint="leave out one of them"
        )
    return Origin.open(path, store)


def _check_tying(tie: str, store: "TokenStore") -> None:
    from seq2seq.errors import ConfigError

    if tie == "all" and not store.joint:
        raise ConfigError(
            f"model.tie_embeddings is all, but {store.path} has separate vocabularies",
            hint="use --set model.tie_embeddings=decoder, or preprocess without --separate",
        )


def _preset_values(name: str | None, *, paper_sizes: bool) -> dict[str, dict[str, Any]]:
    """The layer of settings that a preset is; none without one."""
    from cli.runs.preset import preset_names, read_preset
    from seq2seq.errors import ConfigError

    if name is not None:
        return read_preset(name).values(paper_sizes=paper_sizes)
    if paper_sizes:
        raise ConfigError(
            "--paper-sizes are those of a preset, and there is no --preset",
            hint="give --preset with one of " + ", ".join(preset_names()),
        )
    return {}


def _refuse_choices(choices: dict[str, object | None]) -> None:
    """What is chosen once, when a run is made."""
    from seq2seq.errors import ConfigError

    if given := [option for option, value in choices.items() if value is not None]:
        raise ConfigError(
            "a run that is resumed has its settings already",
            hint=f"leave out {' and '.join(given)}",
        )


def _refuse_data_settings(layers: tuple[dict[str, dict[str, Any]], ...]) -> None:
    from seq2seq.errors import ConfigError

    for layer in layers:
        for name in layer.get("data", {}):
            raise ConfigError(
                f"data.{name} is fixed in the token store",
                hint=f"set it where the store is made: preprocess ... --set data.{name}=...",
            )


def leave(error: BaseException, run: Path, store: Path) -> None:
    """Say how to go on, and leave with the signal's exit code."""
    from cli.runs.interruption import Interrupted
    from cli.runs.training import resume_command
    from cli.terminal.console import note

    saved = "all of it is" if isinstance(error, Interrupted) else "the last checkpoint is"
    note(f"interrupted; {saved} saved. Go on with: {resume_command(run, store)}")
    raise typer.Exit(getattr(error, "exit_code", 130))
