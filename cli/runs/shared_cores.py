"""As many threads of torch as other programs leave cores free."""

import math
import os
import time
from collections.abc import Callable
from typing import Protocol

import psutil
import torch

from seq2seq.system.cores import usable_cores
from seq2seq.system.figures import counted

INTERVAL = 2.0
"""Seconds over which the use of the cores is observed."""
NEGLIGIBLE = 0.25
"""Cores that other programs may use without a thread being given up for them."""


class Threads(Protocol):
    """Decides on the threads of torch while a model is trained."""

    def after_update(self) -> str | None:
        """Called after each update; returns a sentence about a change, None without one."""

    def close(self) -> None:
        """Called when training ends."""


class FixedThreads:
    """Leaves the number of threads as it is."""

    def after_update(self) -> None:
        return None

    def close(self) -> None:
        return None


FIXED_THREADS = FixedThreads()


class SharedCores:
    """Lowers the number of threads while other programs use cores, and raises it again.

    The threads of an operation wait for each other. One that has to share its core makes all of
    them wait for as long as the other program runs, in every operation: two threads of which one
    shares its core are slower than one. The cores that others use are those in use less what this
    process used itself, both as times of the processor.
    """

    def __init__(
        self,
        *,
        cores: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] | None = None,
        own: Callable[[], float] = time.process_time,
    ) -> None:
        """used: seconds that all programs together have used the cores of this process
        own: processor seconds that this process has used"""
        self.cores = cores or usable_cores()
        self._clock, self._used, self._own = clock, used or seconds_used, own
        self._most = self._threads = torch.get_num_threads()
        self._was_free, self._reported = self.cores, False
        self._begin()

    def after_update(self) -> str | None:
        seconds = self._clock() - self._began
        if seconds < INTERVAL:
            return None
        others = (self._used() - self._used_before - self._own() + self._own_before) / seconds
        self._begin()
        found = min(max(self.cores - math.ceil(others - NEGLIGIBLE), 1), self._most)
        free = found if found < self._threads else min(found, self._was_free)  # twice, to go up
        self._was_free = found
        if free == self._threads:
            return None
        self._set(free)
        if self._reported:
            return None
        self._reported = True
        return (
            f"other programs use {others:.1f} of {counted(self.cores, 'core')}: training goes on "
            f"with {counted(free, 'thread')}, and with more once they end (--threads fixes it)"
        )

    def close(self) -> None:
        self._set(self._most)

    def _begin(self) -> None:
        self._began = self._clock()
        self._used_before, self._own_before = self._used(), self._own()

    def _set(self, threads: int) -> None:
        self._threads = threads
        torch.set_num_threads(threads)


def threads_of_training(threads: int | None, device: str) -> Threads:
    """The number that was given stays; without one, training on a CPU shares the cores."""
    if threads is None and device == "cpu" and torch.get_num_threads() > 1:
        return SharedCores()
    return FIXED_THREADS


def seconds_used() -> float:
    """Seconds that programs, and other virtual machines, used the cores of this process."""
    every = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity"):
        mine = os.sched_getaffinity(0)
        every = [times for core, times in enumerate(every) if core in mine]
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, name, 0.0) for times in every for name in names)
