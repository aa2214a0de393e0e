"""The most memory that this process has held, where the system counts it."""

import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def restart_peak() -> None:
    """Let the peak begin at what the process holds now; without effect outside Linux."""
    with suppress(OSError):
        _REFERENCES.write_text("5")


def peak_memory() -> int | None:
    """Bytes of memory, as resident set; None outside Linux."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return 1024 * int(value.split()[0])
    return None


def lifetime_peak() -> int | None:
    """Bytes of memory since the process began, also outside Linux; None where nothing counts them.

    Linux's own figure comes first: its ru_maxrss is that of the process that started this one, if
    that held more.
    """
    if (peak := peak_memory()) is not None:
        return peak
    try:
        import resource
    except ImportError:  # not on every system
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
