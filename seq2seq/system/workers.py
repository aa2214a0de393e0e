"""Worker processes that no signal leaves behind, or makes print a traceback."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker

from seq2seq.system.signals import ENDING_SIGNALS


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold signals back while a worker starts: until it is set up, one would print a traceback.

    A worker inherits the mask and lifts it by `unblock_signals`.
    """
    resource_tracker.ensure_running()  # starting it would lift the mask
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        unblock_signals()


def unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


def exit_with_parent() -> None:
    """In a worker: exit when the parent is killed, instead of working on for nobody."""

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
