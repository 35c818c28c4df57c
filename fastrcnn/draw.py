"""Boxes and labels on a picture, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[int, int, int]

# Okabe and Ito's colours without black. People with any kind of colour vision can tell them apart.
PALETTE: tuple[Colour, ...] = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)
_DARK = (24, 24, 24)
_WHITE = (255, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# In pixels at font scale 1: the height of a capital, the height of a label, and the distance from
# the label's top to the base line of its text.
_CAPITAL, _LABEL, _BASE = 21, 36, 27


def class_colour(label: int) -> Colour:
    """RGB for the class `label`, 1 ... K-1. With more than seven classes the colours repeat."""
    return PALETTE[(label - 1) % len(PALETTE)]


def draw_detections(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    scores: np.ndarray,
) -> np.ndarray:
    """A copy of the (H, W, 3) uint8 RGB picture with each detection's box, class and score.

    boxes (D, 4), labels (D,), names and scores (D,), best first. Lines and letters grow with the
    picture, so that it can be shown at any size. The best detections are drawn on top. Labels do
    not overlap if there is room.
    """
    colours = [class_colour(label) for label in labels]
    drawn = draw_boxes(image, boxes, colours)
    corners = _pixels(boxes, image.shape)
    placed: list[_Label] = []
    for box, name, score in zip(corners, names, scores, strict=True):
        placed.append(_place(box, name, float(score), image.shape, placed))
    for label, colour in zip(reversed(placed), reversed(colours), strict=True):
        label.draw(drawn, colour)
    return drawn


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, colours: Sequence[Colour] = PALETTE[1:2]
) -> np.ndarray:
    """A copy of the (H, W, 3) uint8 RGB picture with boxes (R, 4), the first ones on top.

    colours: one for each box. If there are fewer, they repeat.
    """
    drawn = np.array(image, order="C")
    thickness = max(1, round(_capital(image.shape) / 5))
    corners = _pixels(boxes, image.shape)
    for index in reversed(range(len(corners))):
        x1, y1, x2, y2 = corners[index]
        colour = colours[index % len(colours)]
        # A dark rim makes the colour visible on any background.
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _DARK, thickness + 2)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thickness)
    return drawn


def _pixels(boxes: np.ndarray, shape: tuple[int, ...]) -> list[list[int]]:
    """The first and last pixels of boxes (R, 4), clipped to the picture."""
    height, width = shape[:2]
    corners = np.rint(np.asarray(boxes).reshape(-1, 4)) - (0, 0, 1, 1)
    return corners.clip(0, (width - 1, height - 1) * 2).astype(int).tolist()


def _capital(shape: tuple[int, ...]) -> float:
    """A capital letter's height in pixels: in proportion to the picture, but at least 9."""
    return max(9.0, float(np.sqrt(shape[0] * shape[1])) / 45)


@dataclass(frozen=True)
class _Label:
    text: str
    scale: float
    x: int
    y: int
    width: int
    height: int

    def meets(self, other: _Label) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def draw(self, image: np.ndarray, colour: Colour) -> None:
        """White text on a dark field, with a stripe in the class's colour on the left."""
        right, bottom = self.x + self.width - 1, self.y + self.height - 1
        cv2.rectangle(image, (self.x, self.y), (right, bottom), _DARK, cv2.FILLED)
        stripe = self.x + _stripe(self.scale) - 1
        cv2.rectangle(image, (self.x, self.y), (stripe, bottom), colour, cv2.FILLED)
        origin = (self.x + 2 * _stripe(self.scale), self.y + round(_BASE * self.scale))
        weight = _weight(self.scale)
        cv2.putText(image, self.text, origin, _FONT, self.scale, _WHITE, weight, cv2.LINE_AA)


def _stripe(scale: float) -> int:
    return max(1, round(8 * scale))


def _weight(scale: float) -> int:
    return 1 if scale < 0.8 else round(2 * scale)


def _place(
    box: list[int], name: str, score: float, shape: tuple[int, ...], others: list[_Label]
) -> _Label:
    """The label of one box: above, inside or below it, at the first place without another label.

    If no place is free, it is above the box.
    """
    text, scale, width = _fit(name, score, shape)
    height = min(max(1, round(_LABEL * scale)), shape[0])
    x1, y1, _, y2 = box
    places = []
    for y in (y1 - height, y1, y2 + 1, y2 + 1 - height):
        inside = min(max(y, 0), shape[0] - height)
        x = min(x1, shape[1] - width)
        places.append(_Label(text, scale, x, inside, width, height))
    free = [place for place in places if not any(place.meets(other) for other in others)]
    return (free or places)[0]


def _fit(name: str, score: float, shape: tuple[int, ...]) -> tuple[str, float, int]:
    """A text, its scale and the label's width. If space is short, without the score or smaller."""
    scale = min(_capital(shape) / _CAPITAL, shape[0] / _LABEL)
    for text in (f"{name} {score:.2f}", name):
        width = _label_width(text, scale)
        if width <= shape[1]:
            return text, scale, width
    scale *= shape[1] / width
    return text, scale, min(_label_width(text, scale), shape[1])


def _label_width(text: str, scale: float) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, _weight(scale))
    return width + 4 * _stripe(scale)
