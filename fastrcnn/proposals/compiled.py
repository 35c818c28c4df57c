"""Selective search's inner loops are compiled by Numba, once per machine.

Compiled code is kept in ``__pycache__`` beside the source, or in the user's cache folder where the
installation is read-only, so only the very first picture on a machine waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(loop: Callable | None = None, **options: Any) -> Callable:
    """`loop` as machine code that does not hold the interpreter's lock, so that threads overlap."""
    if loop is None:
        return lambda loop: compiled(loop, **options)
    try:
        return numba.njit(loop, nogil=True, error_model="numpy", cache=True, **options)
    except RuntimeError:  # no folder to keep it in: compiled anew in each process
        return numba.njit(loop, nogil=True, error_model="numpy", **options)
