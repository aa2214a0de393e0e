"""How a training is told as it goes: what a reporter is, and the plain log."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from cli.runs.validation import Sample, shown
from seq2seq.system.visible import visible

if TYPE_CHECKING:
    from seq2seq.config import TrainingConfig
    from seq2seq.model import EncoderDecoder
    from seq2seq.training.loop import Finished, TrainingState, Update, Validation, ValidationScores

RECENT = 200  # updates whose mean time is the speed that the time left is told from


class Reporter(Protocol):
    """Shows a training as it goes; saving and stopping are not its business."""

    def start(self, model: "EncoderDecoder", state: "TrainingState") -> None: ...
    def update(self, event: "Update") -> None: ...
    def validation(self, event: "Validation", samples: Sequence[Sample]) -> None: ...
    def tell(self, line: str) -> None: ...
    def finished(self, event: "Finished") -> None: ...
    def close(self) -> None: ...


class PlainReporter:
    """One time-stamped line every `log_every` updates, for logs and pipes."""

    def __init__(self, write: Callable[[str], None], log: Path, config: "TrainingConfig") -> None:
        self._write, self._log_every = write, config.log_every
        self.pace = TimeEstimate(config)
        self._path = log
        self._log: TextIO | None = None
        self._window = Window()
        self._sample: Sample | None = None  # the one that was shown with its reference

    def start(self, model: "EncoderDecoder", state: "TrainingState") -> None:
        from seq2seq.model import count_parameters

        self._log = self._path.open("a", encoding="utf-8")
        self._line(f"{count_parameters(model):,} parameters")
        if state.update:
            self._line(
                f"resumed at update {state.update:,}, epoch {state.position.epoch}, batch "
                f"{state.position.batch + 1:,}; best so far at update "
                f"{state.best_update:,}"
            )
        self._window.reset(state)
        self.pace.start(state)

    def update(self, event: "Update") -> None:
        self._window.add(event)
        self.pace.update(event.state)
        if event.state.update % self._log_every == 0:
            self._line(f"{self._window.describe(event)}  {self.pace.left(event.state)} left")
            self._window.reset(event.state)

    def validation(self, event: "Validation", samples: Sequence[Sample]) -> None:
        best = "the best so far" if event.improved else f"best at {event.state.best_update:,}"
        self._line(
            f"validation after update {event.state.update:,}: "
            f"{describe_measured(event.measured)} ({best})"
        )
        sample = shown(samples)
        for line in sample_lines(sample, self._sample):
            self._line(line)
        self._sample = sample
        self._window.reset(event.state)
        self.pace.validation(event.state)

    def tell(self, line: str) -> None:
        self._line(line)

    def finished(self, event: "Finished") -> None:
        self._line(
            f"finished: {event.reason}; {event.state.update:,} updates in "
            f"{clock_time(event.state.seconds)}, best at update {event.state.best_update:,}"
        )

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _line(self, text: str) -> None:
        assert self._log is not None
        stamped = f"{datetime.now():%H:%M:%S} {visible(text)}"
        self._write(stamped)
        self._log.write(stamped + "\n")
        self._log.flush()


def describe_measured(measured: "ValidationScores") -> str:
    perplexity = measured.perplexity
    said = f"perplexity {perplexity:.2f}" if perplexity < 1e6 else f"perplexity {perplexity:.1e}"
    if measured.bleu is not None and measured.chrf is not None:
        said += f", BLEU {measured.bleu:.1f}, chrF {measured.chrf:.1f}"
    return said


def sample_lines(sample: Sample | None, before: Sample | None) -> list[str]:
    """A sentence as it is translated now; source and reference only where it was not seen yet."""
    if sample is None:
        return []
    translated = f"  translation  {visible(sample.translation)}"
    if before is not None and before.line == sample.line:
        return [translated]
    return [
        f"  source       {visible(sample.source)}",
        f"  reference    {visible(sample.reference)}",
        translated,
    ]


class Window:
    """Averages over the updates since the last line was written."""

    def __init__(self) -> None:
        self.tokens, self.nats, self.seconds = 0, 0.0, 0.0
        self._began = 0.0

    def reset(self, state: "TrainingState") -> None:
        self.tokens, self.nats, self.seconds, self._began = 0, 0.0, 0.0, state.seconds

    def add(self, event: "Update") -> None:
        self.tokens += event.tokens
        self.nats += event.nats_per_token * event.tokens
        self.seconds = event.state.seconds - self._began

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def nats_per_token(self) -> float:
        return self.nats / max(self.tokens, 1)

    def describe(self, event: "Update") -> str:
        return (
            f"update {event.state.update:,}  epoch {event.batch.epoch}  "
            f"loss {self.nats_per_token:.3f} nats/token  "
            f"{self.tokens_per_second:,.0f} tokens/s  "
            f"rate {event.learning_rate:.1e}"
        )


class TimeEstimate:
    """The time to the end of a run: of what minutes and updates leave, the shorter.

    Updates are told from the speed of the last of them, and each validation that is to come from
    the last one. Patience may end a run earlier.
    """

    def __init__(self, config: "TrainingConfig") -> None:
        self._config = config
        self._updates: deque[float] = deque(maxlen=RECENT)  # seconds each
        self._validation = 0.0  # seconds
        self._before = 0.0

    def start(self, state: "TrainingState") -> None:
        self._before = state.seconds

    def update(self, state: "TrainingState") -> None:
        self._updates.append(state.seconds - self._before)
        self._before = state.seconds

    def validation(self, state: "TrainingState") -> None:
        self._validation = state.seconds - self._before
        self._before = state.seconds

    def seconds_left(self, state: "TrainingState") -> float | None:
        """None while nothing is known."""
        if not self._updates:
            return None
        every, end = self._config.validate_every, self._config.updates
        validations = -(-end // every) - state.validated // every  # an odd last one included
        speed = sum(self._updates) / len(self._updates)
        left = (end - state.update) * speed + validations * self._validation
        if self._config.minutes is not None:
            left = min(left, 60 * self._config.minutes - state.seconds)
        return max(left, 0.0)

    def left(self, state: "TrainingState") -> str:
        seconds = self.seconds_left(state)
        return "unknown" if seconds is None else clock_time(seconds)


def clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
