"""Freed memory that stays with the process."""

import platform
import resource
from types import SimpleNamespace

import numpy as np
import pytest

from seq2seq.system import allocation
from seq2seq.system.allocation import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_memory_of_a_freed_array_is_not_asked_for_again():
    keep_freed_memory()

    def page_faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(12_000_000, dtype=np.float32)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    page_faults()
    pages = 48_000_000 // resource.getpagesize()
    assert min(page_faults() for _ in range(3)) < pages / 10


@pytest.mark.parametrize(
    ("limit", "taken"), [(2**26, [-3, -1]), (2**25, [-3, -3, -1]), (0, [-3, -3])], ids=str
)
def test_smaller_blocks_are_kept_where_large_ones_are_refused(monkeypatch, limit, taken):
    asked = []

    def mallopt(parameter, value):
        asked.append(parameter)
        return int(parameter == -1 or value <= limit)

    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert asked == taken
