"""What a training leaves in its run directory: metrics, samples, checkpoints and their average."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from cli.runs.directory import RunDirectory
from cli.runs.progress import Reporter, describe_measured
from cli.runs.validation import Sample
from seq2seq.errors import DivergenceError
from seq2seq.system.files import sync

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from seq2seq.model import EncoderDecoder
    from seq2seq.training.loop import TrainingState, Update, Validation, ValidationScores
    from seq2seq.training.moving_average import MovingAverage


class TrainingObjects(NamedTuple):
    """All that changes with an update and is saved with it."""

    model: "EncoderDecoder"
    optimizer: "Optimizer"
    average: "MovingAverage | None"


class Recorder:
    """Writes metrics.jsonl, samples.jsonl and checkpoints."""

    def __init__(
        self,
        run: RunDirectory,
        trained: TrainingObjects,
        state: "TrainingState",
        *,
        begins: bool,
    ) -> None:
        """Where training begins, its first weights are saved before anything else is done: what
        cannot be written to is found out now."""
        self._run, self._trained = run, trained
        self._state = self._saved = state
        self._config = run.config.training
        self._every = self._config.log_every
        if begins:
            self._save()
        run.rewind(state)
        self._metrics = run.metrics.open("a", encoding="utf-8")

    @property
    def state(self) -> "TrainingState":
        """What was reported last."""
        return self._state

    def update(self, event: "Update") -> None:
        from seq2seq.checkpoints.folder import end_average

        if self._state == self._saved:
            end_average(self._run.checkpoints, self._state)
        self._state = event.state
        if event.state.update % self._every == 0:
            self._write(
                event="update",
                update=event.state.update,
                epoch=event.batch.epoch,
                batch=event.batch.batch,
                tokens=event.tokens,
                nats_per_token=event.nats_per_token,
                smoothed_nats_per_token=event.smoothed_nats_per_token,
                gradient_norm=event.gradient_norm,
                learning_rate=event.learning_rate,
            )

    def validation(self, event: "Validation", samples: Sequence[Sample]) -> None:
        from seq2seq.system.visible import json_line

        self._state = event.state
        self._write(
            event="validation",
            update=event.state.update,
            **figures(event.measured),
            best_update=event.state.best_update,
            **({"reduced": True} if event.reduced else {}),
        )
        if samples:
            with self._run.samples.open("a", encoding="utf-8", newline="\n") as stream:
                stream.writelines(json_line(each.as_json(event.state.update)) for each in samples)
        self.save()

    def save(self) -> None:
        """A checkpoint of where training stands, unless there is one already."""
        if self._state == self._saved:
            return
        # What is told must not be behind the checkpoint, even if the power fails.
        for path in (self._run.metrics, self._run.samples):
            if path.is_file():
                sync(path)
        sync(self._run.path)
        self._save()

    def _save(self) -> None:
        from seq2seq.checkpoints.folder import point, prune, save_checkpoint

        folder, config = self._run.checkpoints, self._config
        model, optimizer, average = self._trained
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

    def average(self, validate: Callable[[], "ValidationScores"], reporter: Reporter) -> bool:
        """At the end of training, average what was kept; whether there was anything to do.

        An average that is there already, from a run that ended here before, is the one to keep.
        The model has averaged weights afterwards.
        """
        from seq2seq.checkpoints.checkpoint import load_average, load_state, verify
        from seq2seq.checkpoints.folder import (
            AVERAGED,
            averaged_updates,
            kept_checkpoints,
            point,
            save_average,
        )
        from seq2seq.training.loop import is_better

        folder, config = self._run.checkpoints, self._config
        if config.average == "none" or not self._state.update:
            return False
        count = config.keep_best if config.average == "best" else config.keep_last
        chosen = kept_checkpoints(folder, by=config.average, count=count, metric=config.metric)
        if len(chosen) < 2:
            reporter.tell(f"nothing to average: {len(chosen)} validated checkpoint was kept")
            return False
        verified = [verify(each) for each in chosen]
        updates = [each.state.update for each in verified]
        made = updates != averaged_updates(folder)
        if made:
            model = self._trained.model
            load_average(verified, model)
            measured = validate()
            if not isfinite(measured.nats_per_token):
                raise DivergenceError(
                    f"the averaged weights have a validation loss of {measured.nats_per_token}",
                    hint="the checkpoints they are made of are intact",
                )
            state = replace(self._state, measured=measured)
            save_average(folder, model, state, updates=updates)
        path = folder / AVERAGED
        told = load_state(path).measured
        assert told is not None
        better = is_better(told, self._state, config.metric)
        if better:
            point(folder, "best", path)
        self._write(event="average", updates=updates, **figures(told), better=better)
        if made:
            reporter.tell(
                f"average of {len(chosen)} checkpoints: {describe_measured(told)} "
                + ("(best now names it)" if better else "(no better than the best of them)")
            )
        return made

    def close(self) -> None:
        with suppress(OSError):  # each line was flushed, and a disk that refused one has been told
            self._metrics.close()

    def _write(self, **values: object) -> None:
        self._metrics.write(json.dumps(values) + "\n")
        self._metrics.flush()


def figures(measured: "ValidationScores") -> dict[str, float]:
    """What was measured, by name, without what was not."""
    found = {"nats_per_token": measured.nats_per_token, "perplexity": measured.perplexity}
    for name in ("bleu", "chrf", "length_ratio", "copied"):
        if (value := getattr(measured, name)) is not None:
            found[name] = value
    return found
