"""Selective search, compiled by a helper process while the page starts.

Numba compiles it at its first call on a machine, which takes seconds, and keeps the result on disk.
In the page's own process that would hold the interpreter's lock, and every reply would be late. The
helper uses the second core instead, while this process imports Gradio. On every later start the
helper finds all of it on disk and ends after a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_LONGEST = 60.0  # seconds; then an analysis goes on and compiles for itself

_helper: subprocess.Popen | None = None


def start() -> None:
    """Start the helper. It ends when it is done, or when this process ends, however that does."""
    global _helper
    _helper = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parents[3],  # where `-m` finds this module
        stdin=subprocess.PIPE,  # closed by the system when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait() -> None:
    """Return when the helper has ended; at once where none was started."""
    if _helper is not None:
        with suppress(subprocess.TimeoutExpired):
            _helper.wait(_LONGEST)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the parent is gone
    os._exit(1)


def _compile() -> None:
    import numpy as np

    from fastrcnn.proposals import selective_search

    # Any picture will do: all modes call the same functions with the same types.
    selective_search(np.zeros((16, 16, 3), np.uint8))


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _compile()
