"""The search itself: trials one after the other, each a run directory, until the time is over."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from cli.runs.config import resolve
from cli.runs.directory import RunDirectory
from cli.runs.interruption import Interrupted, Terminated, signal_number_of
from cli.runs.progress import clock_time
from cli.runs.training import Outcome
from cli.runs.training_job import NewRun
from cli.runs.trials import create_trials_folder, failure_of
from cli.runs.tuning.journal import Begin, End, Journal, Trial, Validated
from cli.runs.tuning.space import Dimension, space_around, with_settings
from cli.runs.tuning.study import Pruner, propose
from cli.runs.tuning.table import describe_settings, describe_value, ranked, table_lines
from seq2seq.errors import CheckpointError, ConfigError, DivergenceError, ResourceError
from seq2seq.system.figures import counted
from seq2seq.system.files import read_json, replacing, write_json
from seq2seq.system.locks import exclusive_lock
from seq2seq.system.out_of_memory import explain_out_of_memory
from seq2seq.training.events import Validation
from seq2seq.training.loop import share_done

WHOLE_TRIALS = 6
"""A trial takes as long as the run, but at most the minutes of the search divided by this. A search
has more trials, ten or so, since most end early."""
SHORTEST = 0.1
"""A trial counts as at least this share of a whole one, so that a search of failures ends."""

EndsAfter: TypeAlias = Callable[[Validation], str | None]
"""Returns a reason to end a training after a validation, or None."""
TrainTrial: TypeAlias = Callable[[RunDirectory, EndsAfter], Outcome]
"""Trains a run directory from its last checkpoint, or from the start."""

_PRUNED = "behind the better half of the trials"


def tune(run: NewRun, minutes: float, *, train: TrainTrial, note: Callable[[str], None]) -> NewRun:
    """The run with the best settings found for it in so many minutes of training.

    note: is given a line when a trial begins and ends, and at last the table of all trials

    A search that was interrupted is continued by the same call. Raises ConfigError where nothing is
    left to search or another search was begun for the same run, DivergenceError where no trial
    could be trained to its end, and Interrupted after a signal.
    """
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"--tune is {minutes:g} minutes", hint="give it a positive number")
    if not run.config.training.updates:
        raise ConfigError("training.updates is 0, so no trial can be compared", hint="raise it")
    space = space_around(run.config, run.given)
    if not space:
        raise ConfigError(
            "every setting that --tune searches is given", hint="leave out --tune, or some of them"
        )
    return _Search(run, minutes, tuple(space), train, note).tuned()


@dataclass(frozen=True)
class _Search:
    """The search for one run, in the folder RUN.trials."""

    run: NewRun
    minutes: float
    space: tuple[Dimension, ...]
    train: TrainTrial
    note: Callable[[str], None]

    @property
    def folder(self) -> Path:
        return self.run.path.with_name(f"{self.run.path.name}.trials")

    @property
    def shared(self) -> Path:
        """The folder of what the trials and the run learn from the store, once for all."""
        return self.folder / "learnt"

    @property
    def metric(self) -> str:
        return self.run.config.training.metric

    @property
    def trial_minutes(self) -> float:
        share, own = self.minutes / WHOLE_TRIALS, self.run.config.training.minutes
        return share if own is None else min(own, share)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.folder / "trials.jsonl")

    def tuned(self) -> NewRun:
        self._refuse_another_folder()
        create_trials_folder(self.folder)
        activity = f"{self.folder} is being searched"
        with exclusive_lock(self.folder / ".lock", activity, remove=True):
            self._refuse_another_search()
            self._announce()
            with self._underway():
                while trial := self._next_trial():
                    self._finish(trial)
            return self._conclusion()

    def _refuse_another_folder(self) -> None:
        """Raises ConfigError where the folder was there before and holds something else."""
        if not self.folder.exists() or (self.folder / "search.json").exists():
            return
        if not self.folder.is_dir() or {each.name for each in self.folder.iterdir()} - {".lock"}:
            raise ConfigError(
                f"{self.folder} exists, and has no search for settings in it",
                hint="choose another RUN, or move that away",
            )

    def _refuse_another_search(self) -> None:
        """Write down what is searched; raises ConfigError where it was something else before."""
        path = self.folder / "search.json"
        wanted = {
            "format_version": 1,
            "store": self.run.store.sha256,
            "trial_minutes": self.trial_minutes,
            "config": self.run.config.model_dump(),
            "space": {each.name: repr(each.distribution) for each in self.space},
            "started_from": self.run.started_from,
        }
        if not path.exists():
            write_json(path, wanted)
            return
        try:
            found = read_json(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged", hint=f"restore it, or remove {self.folder} and search again"
            ) from error
        if found != json.loads(json.dumps(wanted)):
            raise ConfigError(
                f"{self.folder} has the trials of a search with other options or other data",
                hint="continue with the options that it was begun with, or remove that folder",
            )

    def _announce(self) -> None:
        names = ", ".join(each.name for each in self.space)
        self.note(
            f"tuning for {self.minutes:g} minutes, with trials of up to {self.trial_minutes:g} "
            f"minutes: {names}"
        )
        if self.journal.trials:
            count = counted(len(self.journal.trials), "trial")
            self.note(f"continued: {self.folder} has {count} already")

    @contextmanager
    def _underway(self) -> Iterator[None]:
        """Surrounds the trials: adds to an interruption how to go on, and removes the folder of a
        search that failed before its first validation."""
        try:
            yield
        except (Interrupted, KeyboardInterrupt, Terminated) as error:
            raise Interrupted(
                signal_number_of(error),
                f"interrupted; the trials are in {self.folder}. Go on with the same command",
            ) from error
        except Exception:
            if not any(trial.validations or trial.end for trial in self.journal.trials):
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _next_trial(self) -> Trial | None:
        """The trial that was interrupted, or else a new one; None when the time is over."""
        trials, whole = self.journal.trials, 60 * self.trial_minutes
        if self.journal.pending is None:
            used = sum(max(each.end.seconds, SHORTEST * whole) for each in trials if each.end)
            if used + whole / 2 > 60 * self.minutes:
                return None
            settings = propose(self.space, trials, self.run.config.training.seed)
            self.journal.add(Begin(trial=len(trials) + 1, settings=settings))
        trial = trials[-1]
        what = describe_settings(trial.settings) if trial.number > 1 else "the default"
        self.note(f"trial {trial.number}: {what}")
        return trial

    def _finish(self, trial: Trial) -> None:
        """Train a trial to its end, write down the result, and remove its checkpoints."""
        run = self._directory(trial)
        end = self._train(trial, run)
        self.journal.add(end)
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        self._write_table()
        value = describe_value(end.value, self.metric)
        self.note(f"trial {trial.number}: {end.result}, {value}, {clock_time(end.seconds)}")

    def _directory(self, trial: Trial) -> RunDirectory:
        path = self.folder / f"trial-{trial.number}"
        if path.exists():
            return RunDirectory.open(path)
        limits = {"minutes": self.trial_minutes, "keep_best": 1, "keep_last": 1, "average": "none"}
        config = with_settings(self.run.config, trial.settings)
        config = resolve(config.model_dump(exclude_none=True), {"training": limits})
        started_from = self.run.started_from
        return RunDirectory.create(
            path,
            config,
            self.run.store,
            started_from=started_from,
            shared=self.shared,
            note=self.note,
        )

    def _train(self, trial: Trial, run: RunDirectory) -> End:
        """Train until the trial is complete, is pruned or fails."""
        pruner = Pruner(self.space, self.journal.trials, self.run.config.training.seed)

        def ends_after(event: Validation) -> str | None:
            validated = Validated(
                trial=trial.number,
                percent=int(100 * share_done(event.state, run.config.training)),
                seconds=event.state.seconds,
                value=event.state.best_value(self.metric),
            )
            self.journal.add(validated)
            return _PRUNED if pruner.ends(validated) else None

        try:
            with explain_out_of_memory("the trial"):
                outcome = self.train(run, ends_after)
        except (DivergenceError, ResourceError) as error:
            if not (result := failure_of(error)) or (trial.number == 1 and result != "diverged"):
                raise
            last = trial.validations[-1] if trial.validations else None
            seconds = last.seconds if last else 0.0
            return End(trial=trial.number, result=result, seconds=seconds)
        state = outcome.state
        return End(
            trial=trial.number,
            result="pruned" if outcome.reason == _PRUNED else "complete",
            value=state.best_value(self.metric),
            best_update=state.best_update,
            seconds=state.seconds,
        )

    def _write_table(self) -> list[str]:
        lines = table_lines(self.journal.trials, self.metric)
        with replacing(self.folder / "trials.txt") as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return lines

    def _conclusion(self) -> NewRun:
        """The run with the settings of the best complete trial."""
        for line in self._write_table():
            self.note(line)
        best = ranked(self.journal.trials)[0]
        count = len(self.journal.trials)
        if best.end is None or best.end.result != "complete":
            raise DivergenceError(
                f"none of {counted(count, 'trial')} could be trained to its end",
                hint="set a lower training.learning_rate, or look at the train.log of each trial",
            )
        self.note(f"trial {best.number} is the best; {self.run.path} is trained with its settings")
        provenance = {
            "trials": str(self.folder.absolute()),
            "count": count,
            "trial": best.number,
            "settings": best.settings,
        }
        config = with_settings(self.run.config, best.settings)
        return replace(self.run, config=config, tuned=provenance, shared=self.shared)
