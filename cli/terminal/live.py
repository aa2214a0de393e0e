"""Training as a person watches it: a live view on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

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
from cli.terminal.screen import stderr_console
from seq2seq.system.figures import sparkline
from seq2seq.system.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cli.runs.directory import RunDirectory
    from seq2seq.config import TrainingConfig
    from seq2seq.evaluation.alignment import Alignment
    from seq2seq.model import EncoderDecoder
    from seq2seq.training.events import Finished, TrainingState, Update, Validation

_PROBE_SECONDS = 2.0

Probe = Callable[["EncoderDecoder"], "Alignment"]
"""Translates one held-out sentence with the model as it is, and says where it looked."""


def training_reporter(run: "RunDirectory", probe: Probe | None = None) -> Reporter:
    """Writes the log file, and a live view where stderr is a terminal, else plain lines."""
    config = run.config.training
    if not stderr_console().is_terminal:
        return PlainReporter(note, run.log, config)
    log_file = PlainReporter(lambda line: None, run.log, config)
    return Reporters([log_file, LiveReporter(config, probe)])


class LiveReporter:
    """Loss, speed, time left, the course of the loss and a probe's attention, redrawn in place."""

    def __init__(self, config: "TrainingConfig", probe: Probe | None = None) -> None:
        from rich.live import Live

        self._probe = probe
        self._model: EncoderDecoder | None = None
        self._attention: Alignment | None = None
        self._probed = -_PROBE_SECONDS
        self._console = stderr_console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._estimate = TimeEstimate(config)
        self._averages, self._losses = RunningAverages(), list[float]()
        self._latest: Update | None = None
        self._sample: Sample | None = None  # the latest one shown

    def start(self, model: "EncoderDecoder", state: "TrainingState") -> None:
        self._estimate.start(state)
        self._averages.reset(state)
        self._model = model
        with suppress(OSError):
            self._live.start()

    def update(self, event: "Update") -> None:
        self._estimate.update(event.state)
        self._averages.add(event)
        self._latest = event
        if event.state.update % 10 == 0:
            self._losses.append(self._averages.nats_per_token)
            self._look(event.state.seconds)
            with suppress(OSError):
                self._live.update(self.view())
        if event.state.update % 50 == 0:
            self._averages.reset(event.state)

    def _look(self, seconds: float) -> None:
        """Ask the probe anew, every other second."""
        if self._probe and self._model and seconds - self._probed >= _PROBE_SECONDS:
            self._attention = self._probe(self._model)
            self._probed = seconds

    def validation(self, event: "Validation", samples: Sequence[Sample]) -> None:
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

    def finished(self, event: "Finished") -> None:
        self._stop()
        self._print(
            f"finished: {event.reason} ({event.state.update:,} updates, "
            f"{clock_time(event.state.seconds)})"
        )

    def close(self) -> None:
        self._stop()

    def _print(self, line: str) -> None:
        """Training goes on, and is saved, when its terminal has been closed."""
        with suppress(OSError):
            self._console.print(line)

    def _stop(self) -> None:
        with suppress(OSError):
            self._live.stop()

    def view(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        assert self._latest is not None
        event = self._latest
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            Text(f"update {event.state.update:,}", style="bold"),
            Text(f"epoch {event.batch.epoch}"),
            Text(f"loss {self._losses[-1]:.3f}"),
            Text(f"{self._averages.tokens_per_second:,.0f} tokens/s"),
            Text(f"{self._estimate.left(event.state)} left"),
        )
        whole = Table.grid()
        whole.add_row(grid)
        whole.add_row(ProgressBar(total=1.0, completed=event.progress, width=60))
        whole.add_row(Text("loss " + sparkline(self._losses, width=55), style="cyan"))
        if self._attention is not None:
            from cli.terminal.drawing import renderable
            from seq2seq.rendering.text import draw_alignment

            width = max(self._console.width - 1, 1)
            drawing = draw_alignment(self._attention, width=width)
            whole.add_row(Text())
            whole.add_row(renderable(drawing))
        return whole
