"""How a picture is resized for the network: to one scale, or to several (section 2.4)."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field, model_validator

from fastrcnn.runtime.settings import Settings

_LEAST = 32  # pixels; with as many the map of every backbone has a cell
MOST_PIXELS = 4096  # along a side
Side = Annotated[int, Field(ge=_LEAST, le=MOST_PIXELS)]
"""A side of the network's input, in pixels."""


class Resize(Settings):
    """How a picture is resized for the network: by its shorter side, as in the paper, or square.

    Raises RecipeError for a side that is not 32 to 4096 pixels.
    """

    shorter: Side = 600
    """What the shorter side becomes, in pixels, unless the longer one would pass its limit."""

    longer: Side = 1000
    """The limit of the longer side, in pixels."""

    square: Side | None = None
    """Both sides become this many pixels and the aspect ratio is lost: the walk-through's 224."""

    pyramid: tuple[Side, ...] = ()
    """The shorter sides of an image pyramid, the paper's five for one; none: `shorter` alone. When
    detecting, each box is looked at where its area is nearest to 224 x 224 pixels."""

    @model_validator(mode="after")
    def _check(self) -> Resize:
        if self.longer < self.shorter:
            raise ValueError(f"longer ({self.longer}) must be at least shorter ({self.shorter}).")
        if self.longer < max(self.pyramid, default=0):
            raise ValueError(
                f"longer ({self.longer}) must be at least the largest of pyramid "
                f"({max(self.pyramid)})."
            )
        if self.pyramid and self.square is not None:
            raise ValueError("pyramid has shorter sides; it does not go with square.")
        return self

    def levels(self) -> tuple[Resize, ...]:
        """One for each scale of the pyramid; without a pyramid this alone."""
        alone = (Resize(shorter=side, longer=self.longer) for side in self.pyramid)
        return tuple(alone) or (self,)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network input for a picture of `height` x `width`, at one scale.

        At least 32 pixels each way, so that the feature map has a cell.
        """
        if self.square is not None:
            return self.square, self.square
        scale = min(self.shorter / min(height, width), self.longer / max(height, width))
        return max(round(height * scale), _LEAST), max(round(width * scale), _LEAST)

    def resize(self, image: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """(H, W, 3) uint8 -> the resized picture and (sx, sy), input pixels per picture pixel.

        One scale: `shorter` counts, and not the pyramid.
        """
        height, width = image.shape[:2]
        new_height, new_width = self.size(height, width)
        resized = resize_to(image, new_height, new_width)
        return resized, (new_width / width, new_height / height)


def resize_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3)."""
    # When a photograph shrinks, several pixels become one. Averaging them avoids aliasing.
    shrinks = height < image.shape[0] and width < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)
