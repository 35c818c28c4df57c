"""Files that a visitor takes away, as addresses that hold the file itself."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.model import save_checkpoint
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.texts import text

_LARGEST_CHECKPOINT = 64 * 2**20  # bytes that go through the page
_SAVING = threading.Lock()  # copies of a network are large, so only one is made at a time


def file(path: Path, kind: str) -> dict:
    """A file as ``{"name", "src"}``. kind: its media type."""
    data = base64.b64encode(path.read_bytes()).decode()
    return {"name": path.name, "src": f"data:{kind};base64,{data}"}


def checkpoint(size: int, detector: Callable[[], Detector]) -> dict:
    """A network as a checkpoint in half precision, of `size` bytes without its header.

    detector: makes the detector to save; it may be a copy. Raises FastRCNNError if the file would
    be too large.
    """
    if size > _LARGEST_CHECKPOINT:  # before anything is copied
        megabytes, most = round(size / 2**20), _LARGEST_CHECKPOINT // 2**20
        raise FastRCNNError(text("server.too-large", megabytes=megabytes, most=most))
    with TemporaryDirectory(prefix="takeaway-", dir=uploads.prepare()) as folder, _SAVING:
        path = Path(folder) / "model.safetensors"
        own = detector()
        save_checkpoint(path, own.model, own.metadata, half=True)
        return file(path, "application/octet-stream")
