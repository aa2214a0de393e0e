"""torch: threads, speed of matrix products, and GPUs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.commands.doctor.fact import Fact
from seq2seq.system.figures import gibibytes

_SHAPE = (192, 384, 384)  # [rows, inner] x [inner, columns], as of a small layer
_SECONDS = 0.1  # how long each dtype is timed


def torch_build() -> Iterator[Fact]:
    if not _working_directory_exists():  # MKL would end the program with a message of its own
        yield Fact("threads", None, "unknown: torch cannot be imported in a folder that is gone")
        return
    import torch

    threads, chosen = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    yield Fact(
        "threads", threads, f"{threads} (OMP_NUM_THREADS={chosen})" if chosen else str(threads)
    )
    level = torch.backends.cpu.get_cpu_capability()
    yield Fact("instructions", level, level)
    yield from _product_speeds(torch)
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"none found (built for CUDA {built})" if built else "none (built without CUDA)"
        yield Fact("cuda", [], why)
        return
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            f"{properties.name}, {gibibytes(properties.total_memory)}, "
            f"compute capability {properties.major}.{properties.minor}"
        )
    yield Fact("cuda", devices, "; ".join(devices))
    ability = torch.cuda.is_bf16_supported(including_emulation=False)
    yield Fact("cuda bfloat16", ability, "yes" if ability else "no")


def _product_speeds(torch: Any) -> Iterator[Fact]:
    """Speeds of matrix products in float32 and bfloat16, on one thread.

    bfloat16 can be 100 times slower on processors without instructions for it. With several
    threads the speeds would depend on what else the machine does.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        float32, bfloat16 = _gigaflops(torch, torch.float32), _gigaflops(torch, torch.bfloat16)
    finally:
        torch.set_num_threads(threads)
    for name, rate in (("float32", float32), ("bfloat16", bfloat16)):
        yield Fact(f"{name} gflops", round(rate, 2), f"{rate:.1f} (one thread)")
    faster, ratio = bfloat16 > float32, bfloat16 / float32
    text = f"{ratio:.1f} times the speed" if ratio >= 0.1 else f"1/{1 / ratio:.0f} of the speed"
    yield Fact("bfloat16 faster", faster, f"{'yes' if faster else 'no'}, {text} of float32")


def _working_directory_exists() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _gigaflops(torch: Any, dtype: Any) -> float:
    """The speed of a matrix product on the CPU, the best of several: 10^9 operations a second."""
    rows, inner, columns = _SHAPE
    left = torch.ones(rows, inner, dtype=dtype)
    right = torch.ones(inner, columns, dtype=dtype)
    best = math.inf  # seconds
    started = time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - started < _SECONDS or best == math.inf:
            before = time.perf_counter()
            torch.mm(left, right)
            best = min(best, time.perf_counter() - before)
    return 2 * rows * inner * columns / best / 1e9
