"""Checks inputs from a browser or a program. A wrong input raises a FastRCNNError."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard
from urllib.parse import unquote

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.uploads import FILES, was_read
from fastrcnn.ui.texts import text


def photograph(file: dict | None, limits: Limits) -> tuple[str, np.ndarray]:
    """An uploaded file's name on its owner's machine, and its picture. It is deleted soon after."""
    file = file if isinstance(file, dict) else {}
    path = _sent(str(file.get("path") or ""))
    try:
        # Bytes, so that an error does not name the server's own folders.
        image = load_image(path.read_bytes(), limits.pixels)
    finally:
        was_read(path, limits.file_seconds)
    return file.get("orig_name") or path.name, image


def _sent(place: str) -> Path:
    """The uploaded file at this path. Any other file of the server is refused."""
    # The MCP server's tools get web addresses, for instance those of files uploaded to this page.
    address, is_upload, uploaded = place.partition("/gradio_api/file=")
    if not is_upload and address.lower().startswith(("http://", "https://")):
        raise FastRCNNError(text("server.address"))
    try:
        path = Path(unquote(uploaded) if is_upload else place).resolve()
        if path.is_relative_to(FILES.resolve()) and path.is_file():
            return path
    except (OSError, ValueError):  # a name that is too long or contains a zero byte
        pass
    raise FastRCNNError(text("server.no-picture"))


def session_of(request: gr.Request) -> str:
    """The visitor's session. All requests without a page share one session."""
    return request.session_hash or ""


def box(values: object, height: int, width: int) -> Tensor:
    """x1, y1, x2, y2 -> (4,) float32, cut to the picture. At least one pixel must remain."""
    if isinstance(values, list) and len(values) == 4 and all(_is_number(v) for v in values):
        x1, y1, x2, y2 = (float(v) for v in values)
        cut = [max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))]
        if cut[2] - cut[0] >= 1 and cut[3] - cut[1] >= 1:
            return torch.tensor(cut)
    raise FastRCNNError(text("server.box", width=width, height=height))


def whole(value: object, name: str, count: int) -> int:
    """A whole number from 0 to count - 1."""
    if not _is_number(value) or value != int(value) or not 0 <= value < count:
        raise FastRCNNError(text("server.whole", name=name, last=count - 1))
    return int(value)


def share(value: object, name: str) -> float:
    """A number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise FastRCNNError(text("server.share", name=name))
    return float(value)


def boolean(value: object, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise FastRCNNError(text("server.boolean", name=name))
    return value


def _is_number(value: object) -> TypeGuard[int | float]:
    # Neither NaN, nor infinite, nor a whole number too large for a float.
    is_bool = isinstance(value, bool)
    return isinstance(value, (int, float)) and not is_bool and abs(value) < 2**53
