"""Signals while training: the first is a request to stop, the second has its usual effect."""

import os
import signal
import threading

import pytest

from cli.runs.interruption import (
    Interrupted,
    Terminated,
    install_signal_handlers,
    stop_requests,
)


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


def test_a_second_signal_at_the_same_moment_stops_at_once():
    together = {signal.SIGINT, signal.SIGTERM}
    before = {number: signal.getsignal(number) for number in (*together, signal.SIGHUP)}
    install_signal_handlers()
    try:
        with pytest.raises(Terminated), stop_requests() as stop:
            signal.pthread_sigmask(signal.SIG_BLOCK, together)
            for number in together:
                signal.pthread_kill(threading.get_ident(), number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, together)
            stop.signal_number = None  # reached only where both are one request
        assert stop.signal_number == signal.SIGINT
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, together)
        for number, handler in before.items():
            signal.signal(number, handler)
