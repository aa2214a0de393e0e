"""Progress reports of a training: the Reporter protocol, its fan-out and the plain log."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Protocol, TextIO

from cli.runs.history import Sample
from data.health.sufficiency import part_of_an_epoch
from seq2seq.config import TrainingConfig
from seq2seq.model import EncoderDecoder, count_parameters
from seq2seq.system.visible import visible
from seq2seq.training.events import (
    Finished,
    TrainingState,
    Update,
    Validation,
    ValidationScores,
)
from seq2seq.training.schedule import VALIDATIONS

RECENT_UPDATES = 200
"""Updates averaged for the time estimate."""
FORECAST_UPDATES = 20
"""Updates that show the speed of a training."""
SAMPLE_WORDS = 10
"""The sample that is shown at each validation is the one closest to this many source words."""


class Reporter(Protocol):
    """Shows or records the progress of a training. Saving and stopping are not its task.

    `start` comes first and `close` last, whatever happens between them.
    """

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        """Training begins or is resumed at `state`: its first update is `state.update + 1`."""

    def update(self, event: Update) -> None: ...

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None: ...

    def message(self, line: str) -> None:
        """A line of text, such as a warning about a damaged checkpoint."""

    def finished(self, event: Finished) -> None: ...

    def close(self) -> None: ...


class Reporters:
    """Several reporters as one: each is given every event, in order."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        for reporter in self._reporters:
            reporter.start(model, state)

    def update(self, event: Update) -> None:
        for reporter in self._reporters:
            reporter.update(event)

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        for reporter in self._reporters:
            reporter.validation(event, samples)

    def message(self, line: str) -> None:
        for reporter in self._reporters:
            reporter.message(line)

    def finished(self, event: Finished) -> None:
        for reporter in self._reporters:
            reporter.finished(event)

    def close(self) -> None:
        """Close all of them, even where one raises."""
        with ExitStack() as stack:
            for reporter in reversed(self._reporters):
                stack.callback(reporter.close)


class PlainReporter:
    """One time-stamped line every `log_every` updates, for log files and pipes."""

    def __init__(self, write: Callable[[str], None], log: Path, config: TrainingConfig) -> None:
        """write: is given each line that is also appended to the file `log`"""
        self._write, self._path, self._log_every = write, log, config.log_every
        self._log: TextIO | None = None
        self._estimate = TimeEstimate(config)
        self._averages = RunningAverages()
        self._sample: Sample | None = None  # the latest one shown

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        self._log = self._path.open("a", encoding="utf-8")
        self._line(f"{count_parameters(model):,} parameters")
        if state.update:
            self._line(
                f"resumed at update {state.update:,}, epoch {state.position.epoch}, batch "
                f"{state.position.batch + 1:,}; best so far at update "
                f"{state.best_update:,}"
            )
        self._averages.reset(state)
        self._estimate.start(state)

    def update(self, event: Update) -> None:
        self._averages.add(event)
        self._estimate.update(event.state)
        if event.state.update % self._log_every == 0:
            self._line(f"{self._averages.describe(event)}  {self._estimate.left(event.state)} left")
            self._averages.reset(event.state)

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        best = "the best so far" if event.improved else f"best at {event.state.best_update:,}"
        self._line(
            f"validation after update {event.state.update:,}: "
            f"{describe_scores(event.measured)} ({best})"
        )
        sample = sample_to_show(samples)
        for line in sample_lines(sample, self._sample):
            self._line(line)
        self._sample = sample
        self._averages.reset(event.state)
        self._estimate.validation(event.state)

    def message(self, line: str) -> None:
        self._line(line)

    def finished(self, event: Finished) -> None:
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


def describe_scores(scores: ValidationScores) -> str:
    """For example "perplexity 4.10, BLEU 11.9, chrF 40.6"."""
    value = scores.perplexity
    text = f"perplexity {value:.2f}" if value < 1e6 else f"perplexity {value:.1e}"
    if scores.bleu is not None and scores.chrf is not None:
        text += f", BLEU {scores.bleu:.1f}, chrF {scores.chrf:.1f}"
    return text


def sample_to_show(samples: Sequence[Sample]) -> Sample | None:
    """The one sample that fits a screen best; None where there are none."""
    return min(
        samples, key=lambda sample: abs(len(sample.source.split()) - SAMPLE_WORDS), default=None
    )


def sample_lines(sample: Sample | None, previous: Sample | None) -> list[str]:
    """The translation of a sample; with source and reference, unless `previous` showed them."""
    if sample is None:
        return []
    translated = f"  translation  {visible(sample.translation)}"
    if previous is not None and previous.line == sample.line:
        return [translated]
    return [
        f"  source       {visible(sample.source)}",
        f"  reference    {visible(sample.reference)}",
        translated,
    ]


class RunningAverages:
    """Loss and speed, averaged over the updates since the last reset."""

    def __init__(self) -> None:
        self.tokens, self.nats, self.seconds = 0, 0.0, 0.0
        self._start = 0.0

    def reset(self, state: TrainingState) -> None:
        self.tokens, self.nats, self.seconds, self._start = 0, 0.0, 0.0, state.seconds

    def add(self, event: Update) -> None:
        self.tokens += event.tokens
        self.nats += event.nats_per_token * event.tokens
        self.seconds = event.state.seconds - self._start

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def nats_per_token(self) -> float:
        return self.nats / max(self.tokens, 1)

    def describe(self, event: Update) -> str:
        return (
            f"update {event.state.update:,}  epoch {event.batch.epoch}  "
            f"loss {self.nats_per_token:.3f} nats/token  "
            f"{self.tokens_per_second:,.0f} tokens/s  "
            f"rate {event.learning_rate:.1e}"
        )


class TimeEstimate:
    """The time until a training ends: until its minutes or its updates are used up.

    Each remaining update is taken to last as long as the mean of recent ones, and each remaining
    validation as long as the latest. Patience may end a training earlier.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._updates: deque[float] = deque(maxlen=RECENT_UPDATES)  # seconds each
        self._validation = 0.0  # seconds of the latest validation
        self._latest = 0.0  # seconds trained at the latest event

    def start(self, state: TrainingState) -> None:
        self._latest = state.seconds

    def update(self, state: TrainingState) -> None:
        self._updates.append(state.seconds - self._latest)
        self._latest = state.seconds

    def validation(self, state: TrainingState) -> None:
        self._validation = state.seconds - self._latest
        self._latest = state.seconds

    def seconds_left(self, state: TrainingState) -> float | None:
        """None before the first update."""
        if not self._updates:
            return None
        end = self._config.updates
        every = self._config.validate_every or max(1, end // VALIDATIONS)
        validations = -(-end // every) - state.validated // every  # with one at the very end
        mean = sum(self._updates) / len(self._updates)
        left = (end - state.update) * mean + validations * self._validation
        if self._config.minutes is not None:
            left = min(left, 60 * self._config.minutes - state.seconds)
        return max(left, 0.0)

    def left(self, state: TrainingState) -> str:
        seconds = self.seconds_left(state)
        return "unknown" if seconds is None else clock_time(seconds)


class EpochForecast:
    """Warns once, after the first updates, of a training that ends before its first epoch does."""

    def __init__(self, config: TrainingConfig, epoch_tokens: float) -> None:
        """epoch_tokens: target tokens of an epoch, EOS included"""
        self._config, self._epoch_tokens = config, epoch_tokens
        self._first: TrainingState | None = None  # the state after the first update
        self._updates = 0

    def update(self, state: TrainingState) -> str | None:
        """The warning, if it is due; `state` is that of the latest update."""
        self._updates += 1
        self._first = self._first or state
        if self._updates != min(FORECAST_UPDATES, self._config.updates):
            return None
        finding = part_of_an_epoch(*self._limit(self._first, state))
        return finding.sentence() if finding else None

    def _limit(self, first: TrainingState, state: TrainingState) -> tuple[float, float | None]:
        """Epochs at the end of the training, and its minutes if they are what ends it."""
        by_updates = state.tokens / state.update * self._config.updates
        tokens, seconds = state.tokens - first.tokens, state.seconds - first.seconds
        if self._config.minutes is not None and seconds > 0:
            left = 60 * self._config.minutes - state.seconds
            by_minutes = state.tokens + tokens / seconds * left
            if by_minutes < by_updates:
                return by_minutes / self._epoch_tokens, self._config.minutes
        return by_updates / self._epoch_tokens, None


def clock_time(seconds: float) -> str:
    """Format seconds as minutes and seconds, "12:34", with hours where there are any, "1:00:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
