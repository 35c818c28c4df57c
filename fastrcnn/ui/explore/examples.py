"""The photographs that come with the project, and the true boxes of their objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from fastrcnn.images import load_image
from fastrcnn.runtime.shipped import shipped

ASSETS = shipped("assets")
_THUMBNAIL = 96  # pixels of height
# It shows one near and two far objects, so every step has something to show.
_FIRST = "cow"


@dataclass(frozen=True)
class Example:
    """name: the file's name without its ending. objects: each ``{"label", "box", "difficult"}``."""

    name: str
    path: Path
    objects: tuple[dict, ...]

    @cached_property
    def thumbnail(self) -> np.ndarray:
        """A small copy of the photograph, (h, w, 3) uint8 RGB. Two tabs show it."""
        image = load_image(self.path)
        width = max(round(image.shape[1] * _THUMBNAIL / image.shape[0]), 1)
        return cv2.resize(image, (width, _THUMBNAIL), interpolation=cv2.INTER_AREA)


def read_examples(folder: Path = ASSETS) -> dict[str, Example]:
    """The JPEG photographs of a folder by name, with their objects from its objects.json."""
    listed = folder / "objects.json"
    objects = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    return {
        path.stem: Example(path.stem, path, tuple(objects.get(path.name, ())))
        for path in sorted(folder.glob("*.jpg"))
    }


def first_of(examples: dict[str, Example]) -> str | None:
    """The example that the page opens with, if there is one."""
    return _FIRST if _FIRST in examples else next(iter(examples), None)
