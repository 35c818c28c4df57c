"""What becomes of memory that was freed: glibc's allocator is told; on others nothing happens."""

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

    Pictures of all sizes come and go, on a page in as many threads as it has visitors. The gaps
    that they leave between blocks still in use would add up to half as much again.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function, or no C library's name
        ctypes.CDLL(None).malloc_trim(0)


def keep_apart() -> None:
    """Give large tensors memory of their own, for a process that is to go on for long.

    Before other threads are started. By itself glibc lays all that has less than 32 MB beside the
    small things, in a heap for each of the threads. Tensors are marked to get huge pages there; of
    what they leave, `release_memory` returns the free parts, and the system, some time later, makes
    the pages whole again around the least that is still used. That went on growing with the
    visitors. To map the larger ones alone costs each picture a twentieth of its time.
    """
    with suppress(AttributeError, OSError, TypeError):
        tell = ctypes.CDLL(None).mallopt
        tell(_M_MMAP_THRESHOLD, _SEPARATE)
        # The other one no longer follows from itself, and at its least every tensor would cost.
        tell(_M_TRIM_THRESHOLD, _AHEAD)
        tell(_M_ARENA_MAX, _ARENAS)
