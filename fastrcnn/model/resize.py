"""How a picture is resized for the network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastrcnn.errors import RecipeError


@dataclass(frozen=True)
class Geometry:
    """How a picture is resized for the network.

    The paper's way: the shorter side becomes `shorter` pixels unless the longer one would pass
    `longer`. With `square`, both sides become that many pixels and the aspect ratio is lost, as in
    the walk-through (224).
    """

    shorter: int = 600
    longer: int = 1000
    square: int | None = None

    def __post_init__(self) -> None:
        for name in ("shorter", "longer", "square"):
            value = getattr(self, name)
            if name == "square" and value is None:
                continue
            if type(value) is not int or not 16 <= value <= 4096:
                raise RecipeError(f"{name} is {value!r}; it must be a whole number, 16 to 4096.")
        if self.longer < self.shorter:
            raise RecipeError(f"longer ({self.longer}) must be at least shorter ({self.shorter}).")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network input for a picture of `height` x `width`.

        At least 16 pixels each way, so that the feature map has a cell.
        """
        if self.square is not None:
            return self.square, self.square
        scale = min(self.shorter / min(height, width), self.longer / max(height, width))
        return max(round(height * scale), 16), max(round(width * scale), 16)

    def resize(self, image: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """(H, W, 3) uint8 -> the resized picture and (sx, sy), input pixels per picture pixel."""
        height, width = image.shape[:2]
        new_height, new_width = self.size(height, width)
        resized = resize_to(image, new_height, new_width)
        return resized, (new_width / width, new_height / height)


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3)."""
    # Averaging the pixels that fall together keeps a shrunk photograph free of aliasing.
    shrinks = height < image.shape[0] and width < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)
