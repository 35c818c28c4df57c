"""Writes files whole: at any moment a file has its old content or its new, never half of it.

A power cut changes nothing about that. The disk gets the new content before the new name, and both
before the writer goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to. At the end that file replaces `path` in one step.

    On any exception the new file is removed and `path` stays as it was. Raises OSError.
    """
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex}.part")
    try:
        # A library may put a file of its own here that only its owner can read, as safetensors
        # does. It gets the permissions that every new file of this process has.
        with open(part, "xb"):
            permissions = S_IMODE(part.stat().st_mode)
        yield part
        part.chmod(permissions)
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync(path.parent)
    finally:
        with suppress(OSError):
            part.unlink()


def _sync(folder: Path) -> None:
    """Put the names of a folder's files on the disk, if the system can."""
    with suppress(OSError):  # Windows opens no folder, and some file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_parts(folder: Path, until: float) -> None:
    """Remove the half-written files that killed processes left in `folder`.

    until: a ``time.time``. Files changed later are kept, since a process may still write them.
    """
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if part.stat().st_mtime <= until:
                part.unlink()
