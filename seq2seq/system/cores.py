"""How many processes may really work at a time."""

import os


def usable_cores() -> int:
    """Cores that this process may run on, which a container or `taskset` may have cut."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
