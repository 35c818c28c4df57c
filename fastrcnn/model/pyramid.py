"""Several maps of one picture: an image pyramid (section 2.4), and the picture's mirror image.

Shapes: R boxes, L scales, V maps, K classes. There is a map for each scale, and then, if the mirror
image is looked at too, one for each scale of that: V is L or 2 L.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastrcnn.boxes import flip_boxes

Scale = tuple[float, float]
"""(sx, sy), pixels of the network's input per pixel of the picture."""

_AREA = 224 * 224  # pixels of the input; the size of the pictures that the networks learned from


def nearest_level(boxes: Tensor, scales: Sequence[Scale]) -> Tensor:
    """(R,) int64: at which scale the area of each box (R, 4) is nearest to 224 x 224 pixels."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    distances = [(areas * (sx * sy) - _AREA).abs() for sx, sy in scales]
    return torch.stack(distances).argmin(dim=0)


def to_input(boxes: Tensor, scale: Scale) -> Tensor:
    """(R, 4) in pixels of the picture -> in pixels of the network's input."""
    # The factors are plain numbers. A tensor would have to be copied to the boxes' device.
    sides = zip(boxes.unbind(1), scale * 2, strict=True)
    return torch.stack([side * factor for side, factor in sides], dim=1)


def share_out(
    boxes: Tensor, scales: Sequence[Scale], mirror_width: float | None = None
) -> tuple[list[Tensor], Tensor]:
    """The RoIs (n, 4) of each of the V maps, in pixels of its input, and each box's place there.

    mirror_width: the picture's width, if its mirror image has maps too. The places (R,) are those
    in all the RoIs of one image's maps, one after another.
    """
    if len(scales) == 1:
        shares = [torch.arange(len(boxes), device=boxes.device)]
    else:
        levels = nearest_level(boxes, scales)
        shares = [(levels == level).nonzero().flatten() for level in range(len(scales))]
    views = [boxes] if mirror_width is None else [boxes, flip_boxes(boxes, mirror_width)]
    rois = [
        to_input(view[share], scale)
        for view in views
        for share, scale in zip(shares, scales, strict=True)
    ]
    return rois, torch.cat(shares).argsort()


def put_together(probabilities: Tensor, deltas: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (R, K) and deltas (R, K, 4) of the boxes, from those of the RoIs of all maps.

    places: from `share_out`. With the mirror image there are two answers for each box. The result
    is their mean, after the mirrored tx has changed its sign.
    """
    if len(probabilities) > len(places):
        tx, rest = deltas[len(places) :].split([1, 3], dim=-1)
        deltas = (deltas[: len(places)] + torch.cat([-tx, rest], dim=-1)) / 2
        probabilities = (probabilities[: len(places)] + probabilities[len(places) :]) / 2
    return probabilities[places], deltas[places]
