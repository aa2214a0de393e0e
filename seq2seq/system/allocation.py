"""Memory that is freed stays with the process, for the next tensors of its size."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_LARGEST_KEPT = 2**26, 2**25  # bytes of a block; the second is the limit in mallopt(3)
_MOST_KEPT = 2**28  # free bytes at the end of the heap


def keep_freed_memory() -> None:
    """Have glibc's allocator keep freed blocks of up to 64 MiB, or 32 MiB where it refuses more.

    Larger ones are few in an update. Without effect on another allocator.

    By default it returns large blocks to the system as soon as they are freed. The next update gets
    them back page by page, each filled with zeros by the kernel.
    """
    with suppress(OSError, AttributeError, TypeError):
        set_parameter = ctypes.CDLL(None).mallopt
        if any(set_parameter(_MMAP_THRESHOLD, size) for size in _LARGEST_KEPT):
            set_parameter(_TRIM_THRESHOLD, _MOST_KEPT)  # by itself it would keep less than before
