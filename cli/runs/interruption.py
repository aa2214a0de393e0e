"""SIGINT, SIGTERM and SIGHUP: in a training the first asks it to stop, a second stops at once."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from types import FrameType
from typing import NoReturn, TypeVar

from seq2seq.system.signals import ENDING_SIGNALS

Item = TypeVar("Item")


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """Work stopped at the request of a signal, where nothing is lost; `message` is for the user."""

    def __init__(self, signal_number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.message = message


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived outside `stop_requests`; no `except Exception` catches it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


def signal_number_of(error: Interrupted | Terminated | KeyboardInterrupt) -> int:
    """The signal that raised an exception."""
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else error.signal_number


class StopRequest:
    """Whether a signal has asked to stop; checked between two steps of work."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def raise_if_requested(self) -> None:
        """Raises Interrupted after a signal."""
        raise_if_any([self.signal_number])

    def until_requested(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; no more of them once a signal has come."""
        return takewhile(lambda _: self.signal_number is None, items)


def raise_if_any(signals: Iterable[int | None]) -> None:
    """Raises Interrupted where there is a signal among them, such as those of all ranks."""
    if found := [number for number in signals if number]:
        raise Interrupted(max(found))


def install_signal_handlers() -> None:
    """Let SIGTERM and SIGHUP raise Terminated, as SIGINT raises KeyboardInterrupt, for cleanup."""
    for number in _handled_signals():
        if number != signal.SIGINT:
            signal.signal(number, _raise_terminated)


def ignore_signals() -> None:
    """Ignore further signals, for the interpreter's own shutdown."""
    for number in _handled_signals():
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first signal into a request to stop; a second one has its usual effect."""
    request = StopRequest()
    previous = {number: signal.getsignal(number) for number in _handled_signals()}

    def request_stop(number: int, frame: FrameType | None) -> None:
        if request.signal_number is None:
            request.signal_number = number
        else:
            signal.signal(number, previous[number])
            signal.raise_signal(number)

    for number in previous:
        signal.signal(number, request_stop)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _handled_signals() -> list[int]:
    """The signals that this system has, without a SIGHUP that `nohup` lets be ignored."""
    return [
        number
        for number in ENDING_SIGNALS
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN
    ]


def _raise_terminated(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(signal_number)
