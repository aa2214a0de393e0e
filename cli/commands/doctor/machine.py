"""Processor, cores and memory."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.commands.doctor.fact import Fact
from seq2seq.system.cores import usable_cores
from seq2seq.system.figures import gibibytes


def machine() -> Iterator[Fact]:
    model = processor()
    yield Fact("processor", model, model)
    cores, usable = os.cpu_count(), usable_cores()
    yield Fact("cores", usable, f"{usable} of {cores} usable" if usable != cores else str(cores))
    quota = _first_line("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        share = int(quota[0]) / int(quota[1])
        yield Fact("core quota", share, f"{share:g} (control group)")
    yield from _memory()


def processor() -> str:
    """The name of the processor, as far as the system knows it."""
    if name := cpuinfo("model name"):
        return name
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
                capture_output=True,
                text=True,
                timeout=2,
                check=True,
            ).stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def cpuinfo(key: str) -> str:
    """A value of the first processor in Linux's /proc/cpuinfo; empty if it is not there."""
    for line in _text_of("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _memory() -> Iterator[Fact]:
    import psutil

    memory = psutil.virtual_memory()
    yield Fact("memory", memory.total, gibibytes(memory.total))
    yield Fact("memory available", memory.available, gibibytes(memory.available))
    limit = _first_line("/sys/fs/cgroup/memory.max")
    if limit.isdigit():
        yield Fact("memory limit", int(limit), f"{gibibytes(int(limit))} (control group)")


def _first_line(path: str) -> str:
    return _text_of(path).partition("\n")[0].strip()


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
