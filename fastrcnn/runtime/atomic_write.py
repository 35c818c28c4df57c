"""Writing files whole: at any moment the old content is there or the new, never half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what is there in the end takes its place in one step.

    On any exception it is removed and `path` left as it was. Raises OSError.
    """
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex}.part")
    try:
        yield part
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def remove_parts(folder: Path, until: float) -> None:
    """Remove what killed processes left half written in `folder`.

    until: as ``time.time`` tells it; what was touched later may still be being written.
    """
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if part.stat().st_mtime <= until:
                part.unlink()
