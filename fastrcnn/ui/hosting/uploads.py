"""The page's files: a folder that only this process's user can read, and when files are deleted.

The subfolder `FILES` holds the files that visitors upload and those that are sent to them, each in
a folder of its own. Gradio serves only these files. A visitor must know a file's whole path.
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

if sys.platform != "win32":  # on Windows a killed page's files stay on the disk
    import fcntl

_PREFIX = "fastrcnn-page-"
# The folder is not made yet. Processes without a page import Gradio too, and it only needs a name.
FOLDER = Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(16)}"
FILES = FOLDER / "files"
_LOCK = ".lock"
_READ_SECONDS = 20.0  # a file is kept this long after it was read, so that the browser can show it
LEAST_SIZE = 2**18
# An empty folder may soon get its file. A file outside of any folder is still being uploaded. Both
# are deleted after this many seconds without a change.
_UNCHANGED_SECONDS = 60.0


def prepare() -> Path:
    """Make the folder if it is not there. It is deleted when this process ends.

    The folders of processes that were killed are deleted too.
    """
    if FILES.is_dir():
        return FOLDER
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    FILES.mkdir()
    atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
    if sys.platform != "win32":
        # The lock ends with this process, even if that is killed. It is taken before other
        # processes see the file.
        lock = os.open(FOLDER / f"{_LOCK}.new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.replace(FOLDER / f"{_LOCK}.new", FOLDER / _LOCK)
        for other in FOLDER.parent.glob(f"{_PREFIX}*"):
            if other != FOLDER:
                _delete_if_unused(other)
    return FOLDER


def _delete_if_unused(folder: Path) -> None:
    with suppress(OSError):  # another user's folder, or one that is just being made
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def new_folder() -> Path:
    """A new folder for one file, with a name that nobody can guess."""
    folder = FILES / secrets.token_urlsafe(16)
    folder.mkdir()
    return folder


def size() -> int:
    """The bytes of all whole files, each counted as `LEAST_SIZE` at least.

    So the limit also bounds the number of tiny files, and listing them never takes long.
    """
    total = 0
    for path in _contents():
        with suppress(OSError):
            if path.parent != FILES and path.is_file():
                total += max(path.stat().st_size, LEAST_SIZE)
    return total


def _contents() -> Iterator[Path]:
    """All files and folders. A folder comes after its contents."""
    for folder, folders, files in os.walk(FILES, topdown=False):
        yield from (Path(folder, name) for name in (*files, *folders))


def was_read(path: Path, file_seconds: float) -> None:
    """Mark a file that was read: a `sweep` deletes it `_READ_SECONDS` from now or later."""
    then = time.time() - file_seconds + min(_READ_SECONDS, file_seconds)
    with suppress(OSError):
        os.utime(path, (then, then))


def sweep(file_seconds: float, known: Iterable[set[str]] = ()) -> None:
    """Delete the files that are older than `file_seconds`, and empty folders.

    known: sets of file names. The names of deleted files are removed from them.
    """
    now = time.time()
    for path in _contents():
        with suppress(OSError):
            age = now - path.stat().st_mtime
            if path.is_dir():
                if age > _UNCHANGED_SECONDS:
                    path.rmdir()
            elif age > (_UNCHANGED_SECONDS if path.parent == FILES else file_seconds):
                path.unlink()
    for files in known:
        files.difference_update([file for file in list(files) if not os.path.exists(file)])
