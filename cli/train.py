"""The command `train`: a token store, a recipe and perhaps a preset become a run directory."""

import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cli.run_directory import RunDirectory
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
CHANGEABLE = (
    "updates", "minutes", "patience", "validate_every", "log_every", "keep_best", "keep_last",
    "average", "profile",
)  # fmt: skip
"""Settings of `training` that may be changed when a run is resumed."""


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
    resume: Annotated[bool, typer.Option("--resume", help="Go on where RUN stopped.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Training time at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and dropout.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads torch uses.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a model, with validation and checkpoints.

    A later one of recipe, preset, --set and the other options wins. The first Ctrl-C saves and
    leaves; `--resume` goes on from there.
    """
    from cli.config import parse_settings, read_recipe, resolve
    from cli.device import choose_device
    from cli.interruption import Interrupted
    from cli.run_directory import RunDirectory
    from cli.training_run import check_resumable
    from data.token_store import TokenStore

    flags: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
    flags["model"] |= {"attention": attention.value} if attention else {}
    flags["model"] |= {"score": score.value} if score else {}
    flags["training"] |= {"minutes": minutes} if minutes is not None else {}
    flags["training"] |= {"seed": seed} if seed is not None else {}
    settings = parse_settings(set_ or [])
    if resume:
        _refuse_choices(
            {"--recipe": recipe, "--preset": preset, "--paper-sizes": paper_sizes or None}
        )
        opened = RunDirectory.open(run)
        tokens = TokenStore.open(store)
        check_resumable(opened, tokens)
        tokens.verify()
        chosen = choose_device(device, threads)
        with opened.lock():
            _change(opened, settings, flags)
    else:
        RunDirectory.refuse_existing(run)
        chosen_preset = _preset_values(preset, paper_sizes=paper_sizes)
        layers = (read_recipe(recipe or DEFAULT_RECIPE), chosen_preset, settings, flags)
        _refuse_data_settings(layers)
        resolve(*layers)  # every setting is checked before the data is opened
        tokens = TokenStore.open(store)
        _check_tying(resolve(*layers).model.tie_embeddings, tokens)
        tokens.corpora(resolve(*layers).training.corpus_weights)  # refuses what it does not have
        tokens.verify()
        chosen = choose_device(device, threads)
        config = resolve(*layers, {"data": tokens.meta["config"]})
        opened = RunDirectory.create(run, config, tokens)
    try:
        _train(opened, tokens, device=chosen)
    except (Interrupted, KeyboardInterrupt) as error:
        leave(error, run, store)
    except Exception:
        # Not even begun: too large a model, for example. One that was there may be another's.
        if not resume and not opened.metrics.exists():
            shutil.rmtree(run)
        raise


def _train(run: "RunDirectory", store: "TokenStore", *, device: str) -> None:
    from cli.console import note
    from cli.live import training_reporter
    from cli.training_report import write_report
    from cli.training_run import train_run

    outcome = train_run(run, store, device=device, reporter=training_reporter(run))
    if not outcome.trained:
        note(f"{run.path} is finished already: {outcome.reason}; nothing was done")
    elif outcome.state.validated:
        for line in write_report(run, store, outcome):
            note(line)
    note(f"next: seq2seq translate {run.path} --interactive")


def _change(
    run: "RunDirectory", settings: dict[str, dict[str, Any]], flags: dict[str, dict[str, Any]]
) -> None:
    """Take over what may be changed when resuming; refuse the rest."""
    from cli.config import resolve
    from seq2seq.errors import ConfigError

    asked = {s: settings.get(s, {}) | flags.get(s, {}) for s in {*settings, *flags}}
    current = run.config.model_dump()
    for section, values in asked.items():
        for name, value in values.items():
            if current[section][name] == value:
                continue
            if section != "training" or name not in CHANGEABLE:
                raise ConfigError(
                    f"{section}.{name} is {current[section][name]!r} in {run.path} and cannot "
                    "be changed when resuming",
                    hint="train a new run, or change only "
                    + ", ".join(f"training.{name}" for name in CHANGEABLE),
                )
    changed = resolve(run.config.model_dump(exclude_none=True), asked)
    if changed != run.config:
        run.write_config(changed)


def _check_tying(tie: str, store: "TokenStore") -> None:
    from seq2seq.errors import ConfigError

    if tie == "all" and not store.joint:
        raise ConfigError(
            f"model.tie_embeddings is all, but {store.path} has separate vocabularies",
            hint="use --set model.tie_embeddings=decoder, or preprocess without --separate",
        )


def _preset_values(name: str | None, *, paper_sizes: bool) -> dict[str, dict[str, Any]]:
    """The layer of settings that a preset is; none without one."""
    from cli.preset import preset_names, read_preset
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
    from cli.console import note
    from cli.training_run import resume_command

    saved = "the last checkpoint is" if isinstance(error, KeyboardInterrupt) else "all of it is"
    note(f"interrupted; {saved} saved. Go on with: {resume_command(run, store)}")
    raise typer.Exit(getattr(error, "exit_code", 130))
