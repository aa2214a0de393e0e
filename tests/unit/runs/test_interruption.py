"""Signals while training: the first is a request to stop, the second has its usual effect."""

import os
import signal

import pytest

from cli.runs.interruption import Interrupted, stop_requests


def test_the_first_signal_is_a_request_and_the_second_interrupts():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_requests() as stop:
        stop.raise_if_requested()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(Interrupted):
            stop.raise_if_requested()
        os.kill(os.getpid(), signal.SIGINT)
        stop.signal_number = None  # reached only where the second one is a request, too
    assert stop.signal_number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before
