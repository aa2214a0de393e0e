"""Memory that is freed stays with the process, for the next tensors of its size."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_BYTES = 2**30


def keep_freed_memory() -> None:
    """Have glibc's allocator keep freed memory up to 1 GiB; without effect on another one.

    By default it returns the memory of large tensors to the system as soon as they are freed. The
    next update gets it back page by page, each filled with zeros by the kernel.
    """
    with suppress(OSError, AttributeError, TypeError):
        set_parameter = ctypes.CDLL(None).mallopt
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            set_parameter(parameter, _BYTES)
