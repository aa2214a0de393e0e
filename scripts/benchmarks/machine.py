"""What the figures were measured on, and who else was using it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil
import torch

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
BUSY = 0.10  # of one core, another process that uses more disturbs


def describe() -> dict[str, object]:
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": platform.platform(),
        "cpu": _cpu_line("model name"),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in _cpu_line("flags").split()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
    }


def others(seconds: float = 1.0) -> list[str]:
    """Processes that use the CPU now, this one and its parents aside."""
    ours = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    watched = [p for p in psutil.process_iter() if p.pid not in ours]
    before = {p: _cpu_seconds(p) for p in watched}
    time.sleep(seconds)
    used = {p: _cpu_seconds(p) - before[p] for p in watched}
    return [
        f"{_name(p)} ({p.pid}) {100 * spent / seconds:.0f} % of a core"
        for p, spent in used.items()
        if spent > BUSY * seconds
    ]


def load() -> float:
    """Average over the last minute."""
    return os.getloadavg()[0]


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "a process that has ended"


def _cpu_line(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
