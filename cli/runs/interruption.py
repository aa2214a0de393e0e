"""The first SIGINT, SIGTERM or SIGHUP asks to stop; the second one stops at once."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

Item = TypeVar("Item")
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupted(Exception):  # noqa: N818 - a request, not an error
    """Work was stopped on request, at a place where nothing is lost."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived where work stops at once; no `except Exception` swallows it."""

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


def ignore_signals() -> None:
    """All is done and told: a further signal would only break off the interpreter's own end."""
    for number in _heard():
        signal.signal(number, signal.SIG_IGN)


def install_signal_handlers() -> None:
    """SIGTERM and SIGHUP raise Terminated, as SIGINT raises KeyboardInterrupt: work cleans up."""
    for number in _heard():
        if number != signal.SIGINT:
            signal.signal(number, _terminate)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first signal into a request, and give the next one its usual force."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in _heard()}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard() -> list[int]:
    """The signals that end a program, without a SIGHUP that `nohup` has had ignored."""
    found = [number for name in _ENDING if (number := getattr(signal, name, None))]
    return [n for n in found if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]


def _terminate(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated(signal_number)
