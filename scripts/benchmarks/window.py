"""The clock inside every trainer: it runs from the end of one update to the end of another.

A trainer asks for its next batch when it has finished an update. So the stream of batches is the
one place where every trainer can be timed in the same way: nothing of start-up, of loading and of
the first updates is counted, nothing is taken from a log, and tokens are counted in the very
tensors that were trained on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from typing import Any, TypeVar

BatchT = TypeVar("BatchT")


def finished_work(device: str) -> Callable[[], float]:
    """A clock that on a GPU waits until all that was handed over is done."""
    if device == "cpu":
        return time.perf_counter

    def clock() -> float:
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


class Enough(Exception):  # noqa: N818 - not an error: it ends a peer's endless loop
    """The window is over; raised through a trainer's loop instead of its next batch."""


@dataclass(frozen=True)
class Counts:
    """What batches hold."""

    updates: int = 0
    sentences: int = 0
    source_tokens: int = 0  # real, with EOS where the system reads it
    target_tokens: int = 0  # real, with EOS
    padded_target_tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Window:
    """Counts and times the updates after the first `warmup` ones."""

    def __init__(self, warmup: int = 0, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.warmup = warmup
        self.before = Counts()  # consumed in the warm-up
        self.inside = Counts()
        self.marked: dict[float, Counts] = {}  # what had been consumed when a mark was reached
        self._clock = clock
        self._began = self._ended = 0.0
        self._outside = 0.0  # seconds within the window that are not training
        self._started = False

    def watch(
        self, batches: Iterable[BatchT], count: Callable[[BatchT], Counts]
    ) -> Iterator[BatchT]:
        """Hand batches on; being asked for one means that the update with the last one is done."""
        if not self._started:
            self._started, self._began = True, self._clock()
            self._ended = self._began
        for batch in batches:
            yield batch
            self._done(count(batch))

    def outside(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time does not count: validation, saving."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = self._clock()
            try:
                return function(*arguments, **named)
            finally:
                self._outside += self._clock() - began

        return timed

    @property
    def seconds(self) -> float:
        """Trained in the window, up to the end of its last update."""
        return self._ended - self._began - self._outside

    def report(self) -> dict[str, object]:
        return {
            "seconds": self.seconds,
            "warmup": asdict(self.before),
            "inside": asdict(self.inside),
            "marks": {f"{mark:g}": asdict(counts) for mark, counts in self.marked.items()},
        }

    def _done(self, counts: Counts) -> None:
        now = self._clock()
        if self.before.updates < self.warmup:
            self.before += counts
            self._began = self._ended = now
            self._outside = 0.0
        else:
            self.inside += counts
            self._ended = now


def and_enough(batches: Iterable[BatchT]) -> Iterator[BatchT]:
    """All batches, and then Enough."""
    yield from batches
    raise Enough


def until_marks(
    batches: Iterator[BatchT],
    window: Window,
    marks: Iterable[float],
    save: Callable[[float], None],
) -> Iterator[BatchT]:
    """Watched batches, saving whenever a mark (seconds of training) is reached; then Enough.

    What is marked already is the window's to know: a trainer may ask for a stream every epoch.
    """
    left = sorted(set(marks) - set(window.marked))
    for batch in batches:
        while left and window.seconds >= left[0]:
            mark = left.pop(0)
            window.marked[mark] = window.inside
            window.outside(save)(mark)
        if not left:
            raise Enough
        yield batch
