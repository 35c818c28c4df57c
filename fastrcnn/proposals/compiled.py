"""Selective search's inner loops are compiled by Numba, once per machine.

Compiled code is kept in ``__pycache__`` beside the source, or in the user's cache folder if the
installation is read-only. So only the very first picture on a machine waits for the compiler. This
module's logger announces that wait at level INFO.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

_log = logging.getLogger(__name__)


def compiled(loop: Callable | None = None, **options: Any) -> Callable:
    """`loop` as machine code without the interpreter's lock, so that threads run in parallel."""
    if loop is None:
        return lambda loop: compiled(loop, **options)
    try:
        return numba.njit(loop, nogil=True, error_model="numpy", cache=True, **options)
    except RuntimeError:  # no folder can hold the code, so each process compiles it again
        return numba.njit(loop, nogil=True, error_model="numpy", **options)


class _Announcement(event.Listener):
    """Logs once that compiling begins. Numba sends this event only if no kept code fits."""

    announced = False

    def on_start(self, event: event.Event) -> None:
        if not self.announced and event.data["dispatcher"].py_func.__module__.startswith(_PACKAGE):
            self.announced = True
            _log.info("Compiling selective search for this computer, which takes some seconds.")

    def on_end(self, event: event.Event) -> None:
        pass


_PACKAGE = __name__.rpartition(".")[0]
event.register("numba:compile", _Announcement())
