"""Where the page's files are until they are deleted: a folder of this process, closed to others.

Its subfolder `FILES` holds what visitors send and what is sent to them, each file in a folder of
its own; Gradio serves those, and no others, to whoever knows the whole path.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":  # where what a killed page left stays until its disk is cleaned
    import fcntl

_PREFIX = "fastrcnn-page-"
# Only chosen here. Gradio asks for a name when it is imported, which processes that serve no page
# do too.
FOLDER = Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(16)}"
FILES = FOLDER / "files"
_LOCK = ".lock"
_READ_SECONDS = 20.0  # that a file which was read lives on, for the browser to show it
LEAST = 2**18
# A folder may be empty because a file is about to come, and a file outside of any folder is still
# being sent, unless nothing more has come for so long.
_PATIENCE = 60.0


def prepare() -> Path:
    """The folder, made if it is not there, to be removed when this process ends.

    What processes that were killed have left is removed too.
    """
    if FILES.is_dir():
        return FOLDER
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    FILES.mkdir()
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
    if sys.platform != "win32":
        # Held for as long as this process lives, however it ends; locked before others see it.
        lock = os.open(FOLDER / f"{_LOCK}.new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.replace(FOLDER / f"{_LOCK}.new", FOLDER / _LOCK)
        for other in FOLDER.parent.glob(f"{_PREFIX}*"):
            if other != FOLDER:
                _remove_if_dead(other)
    return FOLDER


def _remove_if_dead(folder: Path) -> None:
    with suppress(OSError):  # another user's, or one that is only being made
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def place() -> Path:
    """A new folder for one file, whose name nobody can guess."""
    folder = FILES / secrets.token_urlsafe(16)
    folder.mkdir()
    return folder


def size() -> int:
    """The bytes of all files that came to their end, each counted as `LEAST` at least.

    A great many tiny ones would make every look at them, this one too, a long one.
    """
    total = 0
    for path in _contents():
        with suppress(OSError):
            if path.parent != FILES and path.is_file():
                total += max(path.stat().st_size, LEAST)
    return total


def _contents() -> Iterator[Path]:
    """Everything within, what is in a folder before it; what goes meanwhile is no matter."""
    for folder, folders, files in os.walk(FILES, topdown=False):
        yield from (Path(folder, name) for name in (*files, *folders))


def was_read(path: Path, file_seconds: float) -> None:
    """Let a file go with the next `sweep` but for the moment in which a browser shows it."""
    then = time.time() - file_seconds + min(_READ_SECONDS, file_seconds)
    with suppress(OSError):
        os.utime(path, (then, then))


def sweep(file_seconds: float, known: Iterable[set[str]] = ()) -> None:
    """Delete the files that are older, and folders that are empty.

    known: sets of files' names, from which those that are gone are taken out.
    """
    now = time.time()
    for path in _contents():
        with suppress(OSError):
            age = now - path.stat().st_mtime
            if path.is_dir():
                if age > _PATIENCE:
                    path.rmdir()
            elif age > (_PATIENCE if path.parent == FILES else file_seconds):
                path.unlink()
    for files in known:
        files.difference_update([file for file in list(files) if not os.path.exists(file)])
