"""Writes what a training leaves in its run directory: metrics, samples, curves, checkpoints."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

from torch.optim import Optimizer

from cli.runs.directory import RunDirectory
from cli.runs.history import (
    AverageLine,
    CurveLine,
    HistoryLine,
    Sample,
    SampleLine,
    UpdateLine,
    ValidationLine,
)
from cli.runs.progress import Reporter, describe_scores
from seq2seq.checkpoints.checkpoint import load_average, load_state, verify
from seq2seq.checkpoints.folder import (
    AVERAGED,
    averaged_updates,
    best_single,
    end_average,
    kept_checkpoints,
    point,
    prune,
    save_average,
    save_checkpoint,
)
from seq2seq.errors import DivergenceError
from seq2seq.evaluation.attention_shape import AttentionShape
from seq2seq.model import EncoderDecoder
from seq2seq.system.files import sync
from seq2seq.training.events import TrainingState, Update, Validation, ValidationScores
from seq2seq.training.moving_average import MovingAverage


class TrainingObjects(NamedTuple):
    """All that changes with an update and is saved with it."""

    model: EncoderDecoder
    optimizer: Optimizer
    average: MovingAverage | None


class Follower:
    """In place of a `Recorder` on every rank but the first: it writes nothing."""

    def __init__(self, state: TrainingState) -> None:
        self.state = state

    def update(self, event: Update) -> None:
        self.state = event.state

    def validation(
        self,
        event: Validation,
        samples: Sequence[Sample],
        attention: AttentionShape | None = None,
    ) -> None:
        self.state = event.state

    def save(self) -> None:
        pass

    def average(self, validate: Callable[[], ValidationScores], reporter: Reporter) -> bool:
        return False

    def close(self) -> None:
        pass


class Recorder:
    """Writes metrics.jsonl, samples.jsonl, curves.jsonl and checkpoints."""

    def __init__(
        self,
        run: RunDirectory,
        objects: TrainingObjects,
        state: TrainingState,
        *,
        is_new: bool,
    ) -> None:
        """A new run's initial weights are saved at once, so that a folder that cannot be written to
        is noticed before any training is done."""
        self._run, self._objects = run, objects
        self._state = self._saved = state
        self._config = run.config.training
        if is_new:
            self._save()
        run.rewind(state)
        self._metrics = run.metrics.open("a", encoding="utf-8")

    @property
    def state(self) -> TrainingState:
        """The state of the latest event."""
        return self._state

    def update(self, event: Update) -> None:
        if self._state == self._saved:
            end_average(self._run.checkpoints, self._state, metric=self._config.metric)
        self._state = event.state
        if event.state.update % self._config.log_every == 0:
            self._write(UpdateLine.of(event))

    def validation(
        self,
        event: Validation,
        samples: Sequence[Sample],
        attention: AttentionShape | None = None,
    ) -> None:
        self._state = event.state
        self._write(ValidationLine.of(event))
        with self._run.curves.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(CurveLine.of(event, attention).to_json())
        if samples:
            lines = [SampleLine(event.state.update, sample).to_json() for sample in samples]
            with self._run.samples.open("a", encoding="utf-8", newline="\n") as stream:
                stream.writelines(lines)
        self.save()

    def save(self) -> None:
        """Write a checkpoint of the latest state, unless there is one already."""
        if self._state == self._saved:
            return
        # The metrics must reach the disk before the checkpoint does, even if the power fails.
        for path in (self._run.metrics, self._run.samples):
            if path.is_file():
                sync(path)
        sync(self._run.path)
        self._save()

    def _save(self) -> None:
        folder, config = self._run.checkpoints, self._config
        model, optimizer, average = self._objects
        path = save_checkpoint(folder, model, optimizer, self._state, average)
        if self._state.update and (
            self._state.best_update == self._state.update == self._state.validated
        ):
            point(folder, "best", path)
        point(folder, "last", path)
        prune(
            folder,
            keep_best=config.keep_best,
            keep_last=config.keep_last,
            metric=config.metric,
        )
        self._saved = self._state

    def average(self, validate: Callable[[], ValidationScores], reporter: Reporter) -> bool:
        """Average the kept checkpoints when training has ended; returns whether one was written.

        An average of the same checkpoints that is there already, from a run that ended here before,
        is kept. Afterwards the model has the averaged weights.
        """
        folder, config = self._run.checkpoints, self._config
        if config.average == "none" or not self._state.update:
            return False
        count = config.keep_best if config.average == "best" else config.keep_last
        chosen = kept_checkpoints(folder, by=config.average, count=count, metric=config.metric)
        if len(chosen) < 2:
            reporter.message(f"nothing to average: {len(chosen)} validated checkpoint was kept")
            return False
        verified = [verify(path) for path in chosen]
        updates = [checkpoint.state.update for checkpoint in verified]
        is_new = updates != averaged_updates(folder)
        if is_new:
            model = self._objects.model
            load_average(verified, model)
            measured = validate()
            if not isfinite(measured.nats_per_token):
                raise DivergenceError(
                    f"the averaged weights have a validation loss of {measured.nats_per_token}",
                    hint="the checkpoints that were averaged are intact",
                )
            state = replace(self._state, measured=measured)
            save_average(folder, model, state, updates=updates, metric=config.metric)
        path = folder / AVERAGED
        best = best_single(folder, self._state, metric=config.metric)
        assert best is not None
        scores, rival = load_state(path).measured, load_state(best).measured
        assert scores is not None and rival is not None
        better = scores.value(config.metric) > rival.value(config.metric)
        if better:
            point(folder, "best", path)
        self._write(AverageLine(updates=updates, scores=scores, better=better))
        if is_new:
            reporter.message(
                f"average of {len(chosen)} checkpoints: {describe_scores(scores)} "
                + ("(best now names it)" if better else "(no better than the best of them)")
            )
        return is_new

    def close(self) -> None:
        with suppress(OSError):  # each line was flushed, and a write that failed was reported
            self._metrics.close()

    def _write(self, line: HistoryLine) -> None:
        self._metrics.write(line.to_json())
        self._metrics.flush()
