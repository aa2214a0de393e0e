"""The machine that figures were measured on, and other processes that use it."""

from __future__ import annotations

import os
import platform
import time

import psutil
import torch

from cli.commands.doctor.machine import cpuinfo, processor

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
BUSY_SHARE = 0.10  # of one core; another process that uses more disturbs a measurement


def describe() -> dict[str, object]:
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": platform.platform(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in CPU_FLAGS if flag in cpuinfo("flags").split()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
    }


def busy_processes(seconds: float = 1.0) -> list[str]:
    """Processes that use the CPU now, except this one and its parents, each described in words."""
    ours = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    watched = [p for p in psutil.process_iter() if p.pid not in ours]
    before = {p: _cpu_seconds(p) for p in watched}
    time.sleep(seconds)
    used = {p: _cpu_seconds(p) - before[p] for p in watched}
    return [
        f"{_name(p)} ({p.pid}) {100 * spent / seconds:.0f} % of a core"
        for p, spent in used.items()
        if spent > BUSY_SHARE * seconds
    ]


def load_average() -> float:
    """The number of running processes, averaged over the last minute."""
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
