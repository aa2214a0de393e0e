"""Training jobs: a new run directory, or one to resume, once its settings are checked."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.runs.choice import CorpusSize, Use, choose_settings
from cli.runs.config import RunConfig, Values, ignore, merge, read_recipe, resolve
from cli.runs.device import choose_device
from cli.runs.directory import CONFIG, RunDirectory
from cli.runs.interruption import Interrupted, Terminated, signal_number_of
from cli.runs.joining import launched_size
from cli.runs.launching import PARENT
from cli.runs.preset import preset_names, read_preset
from cli.runs.resumption import change_settings, check_resumable, reason_finished
from cli.runs.tracking import require_tracker
from cli.runs.warm_start import Origin
from data.token_store import TokenStore
from seq2seq.errors import ConfigError, CorpusError, ResourceError
from seq2seq.system.shell import command
from seq2seq.training.ranks import Ranks

VISIBLE_SECONDS = 60.0
"""Within which a new run appears on all machines."""


@dataclass(frozen=True)
class TrainingJob:
    """A run with the data and the device to train it."""

    run: RunDirectory
    store: TokenStore
    device: str
    is_new: bool
    finished: str | None = None
    """Why there is nothing left to train, if so."""

    @contextmanager
    def underway(self, *, threads: int | None, device: str = "auto") -> Iterator[None]:
        """Surrounds training: adds to an interruption how to resume, and removes a new run that
        failed before anything was recorded.

        threads, device: as the user gave them
        """
        again = self._how_to_go_on(threads, device)
        try:
            yield
        except Interrupted as error:
            message = f"interrupted; all of it is saved. {again}"
            raise Interrupted(error.signal_number, message) from error
        except (KeyboardInterrupt, Terminated) as error:
            message = f"interrupted; the last checkpoint is saved. {again}"
            raise Interrupted(signal_number_of(error), message) from error
        except Exception:
            if self.is_new and not self.run.metrics.exists():  # as with a model that is too large
                shutil.rmtree(self.run.path)
            raise

    def _how_to_go_on(self, threads: int | None, device: str) -> str:
        if launched_size() > 1 and PARENT not in os.environ:
            return f"Go on by starting all {launched_size()} processes as before, with --resume"
        options = list[object]()
        options += ["--processes", launched_size()] if PARENT in os.environ else []
        options += [] if threads is None else ["--threads", threads]
        options += [] if device == "auto" else ["--device", device]
        again = command("train", self.store.path, self.run.path, "--resume", *options)
        return f"Go on with: {again}"


@dataclass(frozen=True)
class NewRun:
    """A run that may be created: every setting and file is known to fit the others."""

    path: Path
    config: RunConfig
    given: frozenset[str]
    """Names of the settings that the user chose, by a preset or by options."""
    store: TokenStore
    device: str
    started_from: dict[str, Any] | None = None
    """The run whose weights it starts with, as in provenance.json."""
    tuned: dict[str, Any] | None = None
    """The search that found its settings, as in provenance.json."""
    shared: Path | None = None
    """The folder with what that search has learnt from the store."""

    def create(self, note: Callable[[str], None] = ignore) -> TrainingJob:
        """Create the run directory.

        note: is given a line before links of many pairs are learnt
        """
        run = RunDirectory.create(
            self.path,
            self.config,
            self.store,
            started_from=self.started_from,
            tuned=self.tuned,
            shared=self.shared,
            note=note,
        )
        return TrainingJob(run, self.store, self.device, is_new=True)


def new_run(
    run: Path,
    store: Path,
    *,
    recipe: str | None,
    preset: Values,
    settings: Values,
    start_from: Path | None,
    device: str,
    threads: int | None,
    note: Callable[[str], None],
) -> NewRun:
    """Resolve and check all that a new run is made of; nothing is written.

    recipe: settings to start from; without one they are chosen, as in chosen_config
    settings: of the command line; they win over the preset, and that over the recipe
    note: is given a line about the choice, and one for each setting of the recipe that has another
        name now
    """
    RunDirectory.refuse_existing(run)
    origin = _origin(start_from, preset)
    given = merge(origin.settings if origin else preset, settings)
    recipe_settings = read_recipe(recipe, note) if recipe else None
    use = Use.of(check_settings(recipe_settings, given))  # refuses before the data is opened
    if preset or (origin and not origin.is_guided):
        use = use._replace(guidance=False)  # attention stays as it was published, or as it was
    tokens = TokenStore.open(store)
    tokens.verify()
    config, reason = chosen_config(tokens, recipe_settings, given, use)
    if origin:
        origin.check_fits(config, tokens)
    chosen = choose_device(device, threads)
    if reason:
        note(reason)
    return NewRun(
        run,
        config,
        frozenset(f"{section}.{name}" for section in given for name in given[section]),
        tokens,
        chosen,
        started_from=origin.provenance() if origin else None,
    )


def check_settings(recipe: Values | None, given: Values) -> RunConfig:
    """The settings over the defaults. Raises ConfigError for a bad value, for those of data, and
    for a package that is not installed."""
    layers = [recipe or {}, given]
    _refuse_data_settings(layers)
    config = resolve(*layers)
    require_tracker(config.training.track)
    return config


def chosen_config(
    store: TokenStore, recipe: Values | None, given: Values, use: Use
) -> tuple[RunConfig, str | None]:
    """The settings of a new run on a store; without a recipe those that are not given are chosen
    by the corpus and the minutes or updates, and a sentence says by what.

    use: what may be chosen
    """
    config = check_settings(recipe, given)
    training = config.training
    corpora = store.corpora(training.corpus_weights)  # raises for one that the store lacks
    reason = None
    if recipe is None:
        choice = choose_settings(
            CorpusSize.of(store, corpora),
            minutes=training.minutes,
            updates=training.updates if "updates" in given.get("training", {}) else None,
            use=use,
        )
        config, reason = resolve(choice.settings, given), choice.describe(given)
    return config.model_copy(update={"data": store.config}), reason


def resume_job(
    run: Path,
    store: Path,
    *,
    settings: Values,
    device: str,
    threads: int | None,
    note: Callable[[str], None],
) -> TrainingJob:
    """Open a run to continue its training, after changing its settings as the command line says.

    note: is given a line before links of many pairs are learnt, where attention is guided from now
        on
    """
    opened = RunDirectory.open(run)
    require_tracker(settings.get("training", {}).get("track", "none"))
    tokens = TokenStore.open(store)
    check_resumable(opened, tokens)
    tokens.verify()
    chosen = choose_device(device, threads)
    finished = reason_finished(opened, settings)
    if finished is None:
        with opened.lock():
            change_settings(opened, settings)
            opened.learn_links(tokens, note=note)
    return TrainingJob(opened, tokens, chosen, is_new=False, finished=finished)


def job_of_rank(
    ranks: Ranks,
    first_job: Callable[[], TrainingJob],
    *,
    run: Path,
    store: Path,
    device: str,
    threads: int | None,
) -> TrainingJob:
    """The job that rank 0 creates or resumes, on every rank.

    Raises CorpusError where the store is another one than that of rank 0, and ResourceError where
    this machine does not have the run.
    """
    if ranks.is_first:
        job = first_job()
        ranks.of_first(lambda: (job.finished, job.store.sha256))
        return job
    finished, sha256 = ranks.of_first(lambda: ("", ""))
    chosen = choose_device(device, threads)
    _wait_until_visible(run)
    opened, tokens = RunDirectory.open(run), TokenStore.open(store)
    if tokens.sha256 != sha256:
        raise CorpusError(
            f"{store} on {socket.gethostname()} is another token store than that of rank 0",
            hint="copy the store to all machines, or use a folder that they share",
        )
    return TrainingJob(opened, tokens, chosen, is_new=False, finished=finished)


def _wait_until_visible(run: Path) -> None:
    """Wait until a run that rank 0 has created is seen here: network file systems take a while.

    Raises ResourceError where it does not appear.
    """
    until = time.monotonic() + VISIBLE_SECONDS
    while not (run / CONFIG).is_file():
        if time.monotonic() > until:
            raise ResourceError(
                f"{run} is not on {socket.gethostname()}, and every rank reads its checkpoints",
                hint="use a folder that all machines share",
            )
        time.sleep(0.2)


def preset_settings(name: str | None, *, paper_sizes: bool) -> Values:
    """The settings of a preset; none without a name. Raises ConfigError for an unknown name."""
    if name is not None:
        return read_preset(name).values(paper_sizes=paper_sizes)
    if paper_sizes:
        raise ConfigError(
            "--paper-sizes are those of a preset, and there is no --preset",
            hint="give --preset with one of " + ", ".join(preset_names()),
        )
    return {}


def _origin(path: Path | None, preset: Values) -> Origin | None:
    """The run whose weights training starts from, if one was named."""
    if path is None:
        return None
    if preset:
        raise ConfigError(
            "--start-from and --preset both say what the model is", hint="leave out one of them"
        )
    return Origin.open(path)


def _refuse_data_settings(layers: list[Values]) -> None:
    for layer in layers:
        for name in layer.get("data", {}):
            raise ConfigError(
                f"data.{name} is fixed in the token store",
                hint=f"set it where the store is made: preprocess ... --set data.{name}=...",
            )
