"""training.track: the curves of a training for other programs to draw, as one more Reporter.

For another program, write a Reporter, and return it from `trackers` for a new value of the setting.
"""

import shutil
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cli.runs.directory import RunDirectory
from cli.runs.history import Sample, UpdateLine, ValidationLine, scores_by_name
from cli.runs.progress import Reporter
from seq2seq.errors import ConfigError
from seq2seq.model import EncoderDecoder
from seq2seq.training.events import Finished, TrainingState, Update, Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def trackers(run: RunDirectory) -> list[Reporter]:
    """The reporters that a run asks for; raises ConfigError where a package is missing."""
    track = run.config.training.track
    require_tracker(track)
    return [TensorBoardReporter(run)] if track == "tensorboard" else []


def require_tracker(track: str) -> None:
    """Raises ConfigError where the package for a value of the setting is not installed."""
    if track == "tensorboard" and find_spec("tensorboard") is None:
        raise ConfigError(
            "training.track is tensorboard, which is not installed",
            hint="install it with `pip install 'seq2seq-trainer[tensorboard]'`, or use "
            "training.track=none",
        )


class TensorBoardReporter:
    """Writes event files into the folder `tensorboard` of a run.

    When a run is resumed they are written anew from metrics.jsonl, which has every line up to the
    checkpoint and none after it: the curves go on without a gap or a step that is there twice.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._writer: SummaryWriter | None = None

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = self._run.path / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        # A TensorBoard that is running forgets what it has read, where the steps begin again.
        self._writer = SummaryWriter(str(folder), purge_step=1 if state.update else None)
        began = time.time() - state.seconds
        for line in self._run.read_metrics():
            if isinstance(line, UpdateLine | ValidationLine):
                when = began + state.seconds * line.update / max(state.update, 1)
                if isinstance(line, UpdateLine):
                    self._write_update(line, when)
                else:
                    self._write_validation(line, when)

    def update(self, event: Update) -> None:
        if event.state.update % self._run.config.training.log_every == 0:
            self._write_update(UpdateLine.of(event), time.time())

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        self._write_validation(ValidationLine.of(event), time.time())
        for sample in samples:
            self._text(sample, event.state.update)
        if self._writer:
            self._writer.flush()

    def message(self, line: str) -> None:
        pass

    def finished(self, event: Finished) -> None:
        pass

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _write_update(self, line: UpdateLine, when: float) -> None:
        """when: seconds since 1970"""
        self._scalar("training/nats_per_token", line.nats_per_token, line.update, when)
        self._scalar("training/objective_per_token", line.objective_per_token, line.update, when)
        self._scalar("training/gradient_norm", line.gradient_norm, line.update, when)
        self._scalar("training/learning_rate", line.learning_rate, line.update, when)

    def _write_validation(self, line: ValidationLine, when: float) -> None:
        for name, value in scores_by_name(line.scores).items():
            self._scalar(f"validation/{name}", value, line.update, when)
        for curve in self._run.read_curves():
            if curve.update == line.update:
                self._scalar("training/seconds", curve.seconds, line.update, when)
                self._scalar("training/target_tokens", curve.tokens, line.update, when)
                if curve.entropy is not None and curve.monotonicity is not None:
                    self._scalar("attention/entropy", curve.entropy, line.update, when)
                    self._scalar("attention/monotonicity", curve.monotonicity, line.update, when)

    def _scalar(self, name: str, value: float, update: int, when: float) -> None:
        if self._writer:
            self._writer.add_scalar(name, value, update, walltime=when)

    def _text(self, sample: Sample, update: int) -> None:
        """A sample as a block of code, which Markdown does not change."""
        if self._writer:
            rows = ("source", sample.source), ("reference", sample.reference)
            lines = (*rows, ("translation", sample.translation))
            text = "\n".join(f"    {name:<11}  {line}" for name, line in lines)
            self._writer.add_text(f"samples/line {sample.line}", text, update)
