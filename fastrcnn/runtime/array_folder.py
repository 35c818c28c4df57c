"""Arrays that are computed once per picture and kept on disk.

A folder's name is a digest of everything that its contents depend on (settings, weights, versions).
A file's name is a digest of the picture's bytes. If any of these changes, the old files are simply
not found. Files are written beside their place and then moved into it, so a killed run leaves no
half-written file. A file that cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from fastrcnn.errors import DataError
from fastrcnn.runtime.atomic_write import atomic_write, remove_parts

# Seconds. Several runs may fill one cache, and a file that one of them is writing must stay.
_LONGEST_WRITE = 3600


def default_cache() -> Path:
    """The default folder for caches: $FASTRCNN_CACHE or ~/.cache/fastrcnn."""
    return Path(os.environ.get("FASTRCNN_CACHE") or Path.home() / ".cache" / "fastrcnn")


def trim_cache(root: Path, most: float) -> None:
    """Delete the oldest arrays until those under `root` have at most `most` bytes.

    They may be in use: a process that misses one makes it again.
    """
    arrays = []
    for path in root.glob("*-*/*.npy"):
        with suppress(OSError):
            status = path.stat()
            arrays.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in arrays)
    for _, size, path in sorted(arrays):
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
            total -= size


class ArrayFolder:
    """Arrays on disk, one per picture, in a folder whose name depends on what made them."""

    def __init__(self, root: Path, kind: str, made_by: dict) -> None:
        text = json.dumps(made_by, sort_keys=True)
        self.folder = root / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._digests: dict[Path, str] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "made_by.json").write_text(text + "\n")
            remove_parts(self.folder, time.time() - _LONGEST_WRITE)
        except OSError as error:
            raise DataError(
                f"The cache folder {self.folder} cannot be written ({error.strerror}); name "
                f"another with --cache or FASTRCNN_CACHE."
            ) from error

    def path(self, picture: Path, suffix: str = "") -> Path:
        """Where the array of this picture is, or would be. Raises DataError."""
        if picture not in self._digests:
            try:
                content = picture.read_bytes()
            except OSError as error:
                raise DataError(f"{picture} cannot be read: {error.strerror}.") from error
            self._digests[picture] = hashlib.sha256(content).hexdigest()[:24]
        return self.folder / f"{self._digests[picture]}{suffix}.npy"

    def get(self, path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array at a path that `path` gave. A missing one is made and kept."""
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            array = make()
        self._write(path, array)
        return array

    def _write(self, path: Path, array: np.ndarray) -> None:
        try:
            with atomic_write(path) as part, part.open("wb") as file:
                np.save(file, array)
        except OSError as error:
            raise DataError(
                f"The cache {self.folder} cannot be written ({error.strerror}); free some space "
                f"or name another folder with --cache or FASTRCNN_CACHE."
            ) from error
