"""Selective search, compiled by a helper process while the page starts.

Numba compiles it at its first call on a machine and keeps the result on disk. This takes seconds.
In the page's own process it would hold the interpreter's lock, and every reply would be late. So
the helper compiles on the second core while this process imports Gradio. On every later start the
helper finds the result on disk and ends after a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_LONGEST = 60.0  # seconds; after them an analysis compiles by itself

_helper: subprocess.Popen | None = None


def start() -> None:
    """Start the helper. It ends when it is done, or when this process ends or is killed."""
    global _helper
    _helper = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parents[3],  # the folder in which `-m` finds this module
        stdin=subprocess.PIPE,  # the system closes it when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait() -> None:
    """Wait until the helper has ended. Returns at once if none was started."""
    if _helper is not None:
        with suppress(subprocess.TimeoutExpired):
            _helper.wait(_LONGEST)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the parent process has ended
    os._exit(1)


def _compile() -> None:
    import numpy as np

    from fastrcnn.proposals import selective_search

    # Any picture will do: all modes call the same functions with the same types.
    selective_search(np.zeros((16, 16, 3), np.uint8))


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _compile()
