"""Random changes to a training picture, drawn anew each time the picture is used.

A view says how a picture lies in the network's input: which part of it is seen, and where. Boxes
and pixels are moved by the same numbers, so a box stays on its object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from fastrcnn.boxes import clip
from fastrcnn.model.pyramid import Scale
from fastrcnn.model.resize import Resize, Side, resize_to
from fastrcnn.runtime.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, 0 to 1."""


@dataclass(frozen=True)
class View:
    """How a picture lies in the network's input.

    crop: the part of the picture that is seen; x1, y1, x2, y2 in whole pixels of the picture.
    place: where that part lies in the input; x1, y1, x2, y2 in whole pixels of the input. The rest
    of the input is empty. size: the input's height and width.
    """

    crop: tuple[int, int, int, int]
    place: tuple[int, int, int, int]
    size: tuple[int, int]

    def render(self, image: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 -> the pixels of `place`."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.crop, self.place
        return resize_to(image[y1:y2, x1:x2], bottom - top, right - left)

    def cut(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts boxes (R, 4) to the crop; gives them and the share of each that is left, (R,)."""
        corner = boxes.new_tensor([*self.crop[:2]] * 2)
        width, height = self.crop[2] - self.crop[0], self.crop[3] - self.crop[1]
        seen = clip(boxes - corner, height, width) + corner
        return seen, _area(seen) / _area(boxes).clamp(min=1e-6)

    @property
    def scale(self) -> Scale:
        """(sx, sy), pixels of the input per pixel of the picture."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.crop, self.place
        return (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)

    def to_input(self, boxes: Tensor) -> Tensor:
        """Boxes (R, 4) in pixels of the picture -> in pixels of the input."""
        corner, place = (boxes.new_tensor([*box[:2]] * 2) for box in (self.crop, self.place))
        return (boxes - corner) * boxes.new_tensor(self.scale * 2) + place


def whole_view(resize: Resize, height: int, width: int) -> View:
    """The view of a whole picture of this size, resized as for detection."""
    rows, columns = resize.size(height, width)
    return View((0, 0, width, height), (0, 0, columns, rows), (rows, columns))


class Augmentation(Settings):
    """The random changes to each training picture; none by default."""

    scales: tuple[Side, ...] = ()
    """The shorter sides, in pixels, of which each mini-batch draws one (paper, section 2.4:
    multi-scale training); none for `shorter` alone. Detection stays at one scale, unlike with
    `pyramid`."""
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation are each multiplied by a number drawn from 1 minus this
    to 1 plus this."""
    colour_share: Share = 1.0
    """The share of the pictures whose colours change."""
    zoom_out: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The least factor by which a picture is shrunk, to lie somewhere on an input of its usual
    size."""
    zoom_out_share: Share = 0.35
    """The share of the pictures that are shrunk."""
    zoom_in: Annotated[float, Field(ge=1, le=8)] = 1.0
    """The largest factor by which a picture is enlarged; a part of the usual size is cut out of
    it."""
    zoom_in_share: Share = 0.25
    """The share of the pictures that are enlarged and cut."""
    aspect_jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Width over height is multiplied by e to the power of a number drawn from minus this to plus
    this."""
    aspect_share: Share = 0.5
    """The share of the pictures whose aspect ratio changes."""
    visible_share: Share = 0.4
    """An object, or a RoI, of which a cut leaves less than this share is not used."""

    @model_validator(mode="after")
    def _check_zooms(self) -> Augmentation:
        if self.zoom_out_share + self.zoom_in_share > 1:
            raise ValueError("zoom_out_share and zoom_in_share must add up to 1 at most.")
        return self

    @property
    def augments(self) -> bool:
        """Whether there are any random changes. If so, a picture looks different each time."""
        return bool(self.scales or self.colour_jitter or self._moves)

    @property
    def _moves(self) -> bool:
        return self.zoom_out < 1 or self.zoom_in > 1 or self.aspect_jitter > 0

    def at_scale(self, resize: Resize, draw: np.random.Generator) -> Resize:
        """`resize` at a random scale; the limit of the longer side is scaled with it."""
        if not self.scales:
            return resize
        shorter = int(draw.choice(self.scales))
        return resize.but(shorter=shorter, longer=round(resize.longer * shorter / resize.shorter))

    def view(self, resize: Resize, height: int, width: int, draw: np.random.Generator) -> View:
        """A view of a picture of `height` x `width` pixels."""
        whole = whole_view(resize, height, width)
        if not self._moves:
            return whole
        zoom, stretch, chance = 1.0, 1.0, draw.random()
        if chance < self.zoom_out_share:
            zoom = draw.uniform(self.zoom_out, 1)
        elif chance > 1 - self.zoom_in_share:
            zoom = draw.uniform(1, self.zoom_in)
        if draw.random() < self.aspect_share:
            stretch = math.exp(draw.uniform(-self.aspect_jitter, self.aspect_jitter))
        rows, columns = whole.size
        x1, x2, left, right = _side(width, columns, zoom * math.sqrt(stretch), draw)
        y1, y2, top, bottom = _side(height, rows, zoom / math.sqrt(stretch), draw)
        return View((x1, y1, x2, y2), (left, top, right, bottom), whole.size)

    def recolour(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8 -> the same picture, sometimes in other light."""
        if not self.colour_jitter or draw.random() >= self.colour_share:
            return image
        low, high = 1 - self.colour_jitter, 1 + self.colour_jitter
        brightness, contrast, saturation = draw.uniform(low, high, 3).astype(np.float32)
        pixels = image.astype(np.float32) * brightness
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None]
        mean = grey.mean()
        pixels = grey + (pixels - grey) * saturation
        pixels = mean + (pixels - mean) * contrast
        return pixels.round().clip(0, 255).astype(np.uint8)


def _side(
    length: int, target: int, factor: float, draw: np.random.Generator
) -> tuple[int, int, int, int]:
    """One side of a view: start and end of the crop, then start and end of its place.

    Without zoom, a side of `length` pixels fills `target` pixels. Here it is scaled by `factor`
    on top of that.
    """
    if factor > 1:
        seen = max(round(length / factor), 1)
        start = int(draw.integers(length - seen + 1))
        return start, start + seen, 0, target
    filled = max(round(target * factor), 1)
    start = int(draw.integers(target - filled + 1))
    return 0, length, start, start + filled


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
