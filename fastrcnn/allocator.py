"""What becomes of memory that was freed: glibc's allocator is told; on others nothing happens."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Let the system have what was freed.

    Pictures of all sizes come and go, on a page in as many threads as it has visitors. What each
    leaves between what is still used would add up to half as much again.
    """
    with suppress(AttributeError, OSError, TypeError):  # no such function, or no C library's name
        ctypes.CDLL(None).malloc_trim(0)
