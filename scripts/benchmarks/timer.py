"""The clock inside every trainer: it runs from the end of one update to the end of another.

A trainer requests its next batch when it has finished an update. So the stream of batches is the
one place where every trainer can be timed in the same way: start-up, loading and the first updates
are not counted, nothing is taken from a log, and tokens are counted in the very tensors that were
trained on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from typing import Any, TypeVar

BatchT = TypeVar("BatchT")


def synchronized_clock(device: str) -> Callable[[], float]:
    """A clock in seconds that on a GPU waits until all queued work is done."""
    if device == "cpu":
        return time.perf_counter

    def clock() -> float:
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


class StopTraining(Exception):  # noqa: N818 - not an error: it ends a peer's endless loop
    """Raised in place of a trainer's next batch when there is nothing more to measure."""


@dataclass(frozen=True)
class Counts:
    """What batches contain; tokens without padding."""

    updates: int = 0
    sentences: int = 0
    source_tokens: int = 0  # with EOS if the system encodes it
    target_tokens: int = 0  # with EOS
    padded_target_tokens: int = 0  # with padding too

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class UpdateTimer:
    """Counts and times the updates after the first `warmup` ones."""

    def __init__(self, warmup: int = 0, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.warmup = warmup
        self.warmup_counts = Counts()
        self.counts = Counts()  # after the warm-up
        self.marked: dict[float, Counts] = {}  # `counts` when each mark was reached
        self._clock = clock
        self._began = self._ended = 0.0
        self._excluded = 0.0  # seconds since the warm-up that are not training
        self._started = False

    def watch(
        self, batches: Iterable[BatchT], count: Callable[[BatchT], Counts]
    ) -> Iterator[BatchT]:
        """Pass batches on; a request for one means that the update with the last one is done."""
        if not self._started:
            self._started, self._began = True, self._clock()
            self._ended = self._began
        for batch in batches:
            yield batch
            self._finish_update(count(batch))

    def exclude(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function, such as validation or saving, so that its time does not count."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = self._clock()
            try:
                return function(*arguments, **named)
            finally:
                self._excluded += self._clock() - began

        return timed

    @property
    def seconds(self) -> float:
        """Time spent training from the end of the warm-up to the end of the last update."""
        return self._ended - self._began - self._excluded

    def report(self) -> dict[str, object]:
        return {
            "seconds": self.seconds,
            "warmup": asdict(self.warmup_counts),
            "inside": asdict(self.counts),
            "marks": {f"{mark:g}": asdict(counts) for mark, counts in self.marked.items()},
        }

    def _finish_update(self, counts: Counts) -> None:
        now = self._clock()
        if self.warmup_counts.updates < self.warmup:
            self.warmup_counts += counts
            self._began = self._ended = now
            self._excluded = 0.0
        else:
            self.counts += counts
            self._ended = now


def then_stop(batches: Iterable[BatchT]) -> Iterator[BatchT]:
    """Yield all batches, and then raise StopTraining."""
    yield from batches
    raise StopTraining


def stop_after_marks(
    batches: Iterator[BatchT],
    timer: UpdateTimer,
    marks: Iterable[float],
    save: Callable[[float], None],
) -> Iterator[BatchT]:
    """Pass on watched batches; save at each mark (seconds of training), then raise StopTraining.

    Marks that the timer has reached are left out: a trainer may request a stream every epoch.
    """
    left = sorted(set(marks) - set(timer.marked))
    for batch in batches:
        while left and timer.seconds >= left[0]:
            mark = left.pop(0)
            timer.marked[mark] = timer.counts
            timer.exclude(save)(mark)
        if not left:
            raise StopTraining
        yield batch
