"""The threads of training, while other programs use the cores."""

import subprocess
import sys
import time

import pytest
import torch

from cli.runs.shared_cores import (
    INTERVAL,
    FixedThreads,
    SharedCores,
    seconds_used,
    threads_of_training,
)


class Machine:
    """Eight cores, on which this process and others spend time."""

    def __init__(self, monkeypatch, threads=8):
        self.now = self.used = self.own = 0.0
        self.set = []
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(torch, "set_num_threads", self.set.append)
        self.threads = SharedCores(
            cores=8, clock=lambda: self.now, used=lambda: self.used, own=lambda: self.own
        )

    def passes(self, *, own=4.0, others=0.0, seconds=INTERVAL):
        """The time passes while so many cores are used; returns what is reported."""
        self.now += seconds
        self.own += own * seconds
        self.used += (own + others) * seconds
        return self.threads.after_update()


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_a_thread_is_given_up_for_each_core_that_others_use(machine):
    said = machine.passes(others=2.6)
    assert machine.set == [5]
    assert said is not None and said.startswith("other programs use 2.6 of 8 cores")
    assert "5 threads" in said
    assert machine.passes(others=4.4) is None  # one report is enough
    assert machine.set == [5, 3]


def test_one_thread_always_remains(machine):
    machine.passes(others=9.0)
    assert machine.set == [1]


def test_little_use_and_short_times_change_nothing(machine):
    machine.passes(others=0.2)
    machine.passes(others=8.0, seconds=INTERVAL / 4)
    assert machine.set == []


def test_the_number_rises_when_cores_were_free_twice(machine):
    machine.passes(others=3.0)
    machine.passes(others=0.0)
    assert machine.set == [5]
    machine.passes(others=1.0)
    assert machine.set == [5, 7]
    machine.passes(others=0.0)
    machine.passes(others=0.0)
    assert machine.set == [5, 7, 8]


def test_no_more_threads_than_there_were(monkeypatch):
    machine = Machine(monkeypatch, threads=3)
    machine.passes(others=3.0)
    assert machine.set == []
    machine.passes(others=6.0)
    machine.threads.close()
    assert machine.set == [2, 3]


def test_only_a_training_on_a_cpu_without_a_number_shares_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert isinstance(threads_of_training(None, "cpu"), SharedCores)
    for number, device in ((4, "cpu"), (None, "cuda")):
        assert isinstance(threads_of_training(number, device), FixedThreads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert isinstance(threads_of_training(None, "cpu"), FixedThreads)


def test_time_of_another_program_counts_as_used():
    before = seconds_used()
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    own = time.process_time()
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert seconds_used() - before > 0.25 > time.process_time() - own
