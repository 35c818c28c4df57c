"""Tells glibc's allocator what to do with freed memory. Does nothing with other allocators."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_SEPARATE = 8 * 2**20
_AHEAD = 64 * 2**20
_ARENAS = 2


def release_memory() -> None:
    """Give freed memory back to the system.

    Pictures of all sizes come and go, and the page has as many threads as visitors. Freed pictures
    leave gaps between blocks that are still in use. Together the gaps would add half as much memory
    again.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function, or no C library found
        ctypes.CDLL(None).malloc_trim(0)


def keep_apart() -> None:
    """Give large tensors memory of their own, in a process that runs for a long time.

    Call it before other threads are started. By default glibc puts every block of less than 32 MB
    beside the small ones, in one heap per thread. Tensors there are marked for huge pages. When
    they are freed, `release_memory` returns the free parts of these pages. But some time later the
    system fills each page up again, however little of it is still used. So memory kept growing with
    the number of visitors. Mapping large tensors apart costs each picture a twentieth of its time.
    """
    with suppress(AttributeError, OSError, TypeError):
        tell = ctypes.CDLL(None).mallopt
        tell(_M_MMAP_THRESHOLD, _SEPARATE)
        # glibc no longer adapts the trim threshold once the mmap threshold is set. At its lowest
        # value every tensor would cost time.
        tell(_M_TRIM_THRESHOLD, _AHEAD)
        tell(_M_ARENA_MAX, _ARENAS)
