"""The signals that end a program, some systems lack SIGHUP, and holding them for a moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals that end the program until the context ends.

    A mask is of one thread, and any other would receive the signal; handlers run in the main thread
    only, so nothing is to be held in others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = list[int]()
    found = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    handlers = {n: handler for n, handler in found.items() if handler not in (None, signal.SIG_IGN)}
    for number in handlers:
        signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)
