"""Progress of a training: a live view on a terminal, plain lines where there is none."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.runs.directory import RunDirectory
from cli.runs.history import Sample
from cli.runs.progress import (
    PlainReporter,
    Reporter,
    Reporters,
    RunningAverages,
    TimeEstimate,
    clock_time,
    describe_scores,
    sample_lines,
    sample_to_show,
)
from cli.terminal.console import note
from cli.terminal.drawing import has_shades, renderable
from cli.terminal.screen import stderr_console
from seq2seq.config import TrainingConfig
from seq2seq.evaluation.alignment import Alignment
from seq2seq.model import EncoderDecoder
from seq2seq.rendering.text import draw_alignment
from seq2seq.system.figures import sparkline
from seq2seq.system.visible import visible
from seq2seq.training.events import Finished, TrainingState, Update, Validation

_SECONDS_BETWEEN_ALIGNMENTS = 2.0

AlignSentence = Callable[[EncoderDecoder], Alignment]
"""Translates one sentence with the model as it is, and returns the alignment."""


def training_reporter(run: RunDirectory, align_sentence: AlignSentence | None = None) -> Reporter:
    """Writes the log file, and a live view where stderr is a terminal, else plain lines.

    align_sentence: gives the alignment that the live view draws and keeps up to date
    """
    config = run.config.training
    if not stderr_console().is_terminal:
        return PlainReporter(note, run.log, config)
    log_file = PlainReporter(lambda line: None, run.log, config)
    return Reporters([log_file, LiveReporter(config, align_sentence)])


def trial_reporter(run: RunDirectory) -> Reporter:
    """Writes the log file of one of many trials, and a live view where stderr is a terminal."""
    log_file = PlainReporter(lambda line: None, run.log, run.config.training)
    if not stderr_console().is_terminal:
        return log_file
    return Reporters([log_file, LiveReporter(run.config.training)])


class LiveReporter:
    """Loss, speed, time left, a chart of the loss and an alignment, redrawn in place."""

    def __init__(self, config: TrainingConfig, align_sentence: AlignSentence | None = None) -> None:
        self._align_sentence = align_sentence
        self._model: EncoderDecoder | None = None
        self._alignment: Alignment | None = None
        self._aligned_at = -_SECONDS_BETWEEN_ALIGNMENTS
        self._console = stderr_console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._estimate = TimeEstimate(config)
        self._averages, self._losses = RunningAverages(), list[float]()
        self._latest: Update | None = None
        self._sample: Sample | None = None  # the latest one shown

    def start(self, model: EncoderDecoder, state: TrainingState) -> None:
        self._estimate.start(state)
        self._averages.reset(state)
        self._model = model
        with suppress(OSError):
            self._live.start()

    def update(self, event: Update) -> None:
        self._estimate.update(event.state)
        self._averages.add(event)
        self._latest = event
        if event.state.update % 10 == 0:
            self._losses.append(self._averages.nats_per_token)
            self._renew_alignment(event.state.seconds)
            with suppress(OSError):
                self._live.update(self.view())
        if event.state.update % 50 == 0:
            self._averages.reset(event.state)

    def _renew_alignment(self, seconds: float) -> None:
        """Align the watched sentence again, unless it was just done. seconds: of training so far"""
        due = seconds - self._aligned_at >= _SECONDS_BETWEEN_ALIGNMENTS
        if self._align_sentence and self._model and due:
            self._alignment = self._align_sentence(self._model)
            self._aligned_at = seconds

    def validation(self, event: Validation, samples: Sequence[Sample]) -> None:
        self._estimate.validation(event.state)
        self._averages.reset(event.state)
        mark = "best so far" if event.improved else f"best at {event.state.best_update:,}"
        self._print(
            f"update {event.state.update:>7,}  validation {describe_scores(event.measured)}  {mark}"
        )
        sample = sample_to_show(samples)
        for line in sample_lines(sample, self._sample):
            self._print(line)
        self._sample = sample

    def message(self, line: str) -> None:
        self._print(visible(line))

    def finished(self, event: Finished) -> None:
        self._stop()
        self._print(
            f"finished: {event.reason} ({event.state.update:,} updates, "
            f"{clock_time(event.state.seconds)})"
        )

    def close(self) -> None:
        self._stop()

    def _print(self, line: str) -> None:
        """Print above the live view. Training goes on where its terminal has been closed."""
        with suppress(OSError):
            self._console.print(line)

    def _stop(self) -> None:
        with suppress(OSError):
            self._live.stop()

    def view(self) -> RenderableType:
        """The live view as it is drawn now; called after the first update only."""
        assert self._latest is not None
        event = self._latest
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row(
            Text(f"update {event.state.update:,}", style="bold"),
            Text(f"epoch {event.batch.epoch}"),
            Text(f"loss {self._losses[-1]:.3f}"),
            Text(f"{self._averages.tokens_per_second:,.0f} tokens/s"),
            Text(f"{self._estimate.left(event.state)} left"),
        )
        view = Table.grid()
        view.add_row(numbers)
        view.add_row(ProgressBar(total=1.0, completed=event.progress, width=60))
        view.add_row(Text("loss " + sparkline(self._losses, width=55), style="cyan"))
        if self._alignment is not None:
            width = max(self._console.width - 1, 1)
            view.add_row(Text())
            height = max(self._console.height - 5, 1) if has_shades(self._console) else None
            drawing = draw_alignment(self._alignment, width=width, height=height)
            view.add_row(renderable(drawing))
        return view
