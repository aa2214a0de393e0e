"""The number of processes that can run at the same time."""

import os


def usable_cores() -> int:
    """Cores that this process may use; a container or `taskset` may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
