"""The first SIGINT, SIGTERM or SIGHUP asks to stop; the second one stops at once."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")
_SIGNALS = [
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
]


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """Work was stopped on request, at a place where nothing is lost."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class StopRequest:
    """Whether a signal has asked to stop; looked at between two steps of work."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def raise_if_asked(self) -> None:
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, until a stop is asked for."""
        for item in items:
            self.raise_if_asked()
            yield item


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first signal into a request, and give the next one its usual force."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
