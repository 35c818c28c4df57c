"""Boxes: overlap, the regression targets and their inverse.

A box is x1, y1, x2, y2 in pixels. x2 and y2 are exclusive, so the width is x2 - x1. R boxes are
(R, 4); R may be 0. Floating-point inputs keep their dtype.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

# A larger delta would make a box more than 62 times as wide or high as its proposal. Only an
# untrained or diverging regressor gives one, and its exp could overflow.
MAX_LOG_SCALE = math.log(1000 / 16)

Array = TypeVar("Array", Tensor, np.ndarray)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each pair: (R, 4) and (G, 4) -> (R, G).

    A box without area overlaps nothing.
    """
    corner1 = torch.maximum(a[:, None, :2], b[None, :, :2])  # (R, G, 2)
    corner2 = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = (corner2 - corner1).clamp(min=0).prod(dim=2)  # (R, G)
    union = _area(a)[:, None] + _area(b)[None, :] - intersection
    return torch.where(intersection > 0, intersection / union, 0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def vote(kept: Tensor, boxes: Tensor, weights: Tensor, least_iou: float) -> tuple[Tensor, Tensor]:
    """Box voting (Gidaris and Komodakis 2015, section 5): many boxes together place an object.

    kept: (M, 4). boxes: (R, 4), the voters. weights: (R,), the weight of each voter. Each kept box
    becomes the weighted mean of the boxes that overlap it with an IoU of at least `least_iou`.
    Boxes of weight 0 do not vote. A kept box without voters stays as it is.

    Returns the new boxes (M, 4) and the number of voters for each, (M,) int64.
    """
    if not len(boxes):
        return kept, kept.new_zeros(len(kept), dtype=torch.int64)
    has_a_say = (iou(kept, boxes) >= least_iou) & (weights > 0)  # (M, R)
    shares = has_a_say * weights
    total = shares.sum(dim=1, keepdim=True)
    # Rounding must not move the mean of boxes that are inside the picture slightly outside it.
    means = (shares @ boxes / total).clamp(boxes.amin(dim=0), boxes.amax(dim=0))
    return torch.where(total > 0, means, kept), has_a_say.sum(dim=1)


def encode(proposals: Tensor, targets: Tensor) -> Tensor:
    """The deltas that move each proposal onto its target: (R, 4), (R, 4) -> (R, 4), tx ty tw th.

        tx = (Gx - Px) / Pw    tw = log(Gw / Pw)
        ty = (Gy - Py) / Ph    th = log(Gh / Ph)

    x, y are the centre and w, h the size of the proposal P and of the target G. Both must have an
    area. (R-CNN, appendix C; section 2.3 of Fast R-CNN refers to it.)
    """
    centres, sizes = _centres(proposals)
    target_centres, target_sizes = _centres(targets)
    shifts = (target_centres - centres) / sizes
    return torch.cat([shifts, (target_sizes / sizes).log()], dim=1)


def decode(proposals: Tensor, deltas: Tensor) -> Tensor:
    """The inverse of `encode`: proposals (R, 4) moved by deltas (R, 4), or (R, K, 4) for K classes.

    Gives boxes in the shape of `deltas`, not clipped to the picture. tw and th are held at
    ``MAX_LOG_SCALE``.
    """
    centres, sizes = _centres(proposals)
    if deltas.dim() == 3:
        centres, sizes = centres[:, None], sizes[:, None]  # (R, 1, 2)
    new_centres = centres + deltas[..., :2] * sizes
    half = sizes * deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp() / 2
    return torch.cat([new_centres - half, new_centres + half], dim=-1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sizes = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + sizes / 2, sizes


def clip(boxes: Tensor, height: float, width: float) -> Tensor:
    """Boxes (..., 4) cut to a picture of `height` x `width` pixels."""
    return torch.stack(
        [
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ],
        dim=-1,
    )


def flip_boxes(boxes: Array, width: float) -> Array:
    """Boxes (..., 4), tensor or array, mirrored left to right in a picture `width` pixels wide."""
    flipped = boxes.clone() if isinstance(boxes, Tensor) else boxes.copy()
    flipped[..., 0] = width - boxes[..., 2]
    flipped[..., 2] = width - boxes[..., 0]
    return flipped
