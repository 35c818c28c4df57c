"""How the scores of a box follow when the box moves by single pixels.

K classes with background at 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastrcnn.detector import Detector, Trace
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.model.pyramid import nearest_level, to_input
from fastrcnn.model.roi_pool import RoIPool

_CELLS = 1.5  # how far a box is moved each way, in cells of the map
_MOST = 40  # steps each way


def shifts_of(box: Tensor, trace: Trace, axis: int, stride: int) -> Tensor:
    """The whole pixels by which a box may move and stay inside the picture: (N,) float32.

    box: (4,). axis: 0 to the right, 1 down. A box moves up to one and a half cells of the map each
    way. In a large picture these are many pixels, so that the steps are larger than one.
    """
    reach = math.ceil(_CELLS * stride / trace.scale[axis])
    step = math.ceil(reach / _MOST)
    side = trace.image.shape[1 - axis]
    before = min(reach, int(box[axis])) // step
    behind = min(reach, int(side - box[axis + 2])) // step
    return torch.arange(-before, behind + 1, dtype=torch.float32) * step


def moved(box: Tensor, shifts: Tensor, axis: int) -> Tensor:
    """(4,), (N,) -> (N, 4), the box moved along one axis by each of the shifts."""
    boxes = box.float().repeat(len(shifts), 1)
    boxes[:, [axis, axis + 2]] += shifts[:, None]
    return boxes


@torch.inference_mode()
def scores_with(detector: Detector, trace: Trace, boxes: Tensor, pooling: str) -> Tensor:
    """The scores before the softmax, cls_score (N, K), of boxes with any kind of RoI pooling.

    They are those of `detector.inspect`. boxes: (N, 4), of one size, in pixels of the trace's
    picture. Raises RecipeError for an unknown pooling.
    """
    own = detector.model.roi_pool
    pool = RoIPool(pooling, own.size, own.stride)
    level = int(nearest_level(boxes[:1], trace.scales))
    features = trace.features[level : level + 1].to(detector.device)
    scaled = to_input(boxes.float(), trace.scales[level])
    rois = with_image_index([scaled.to(detector.device)], features)
    scores, _ = detector.model.head(pool(features, rois))
    return scores.cpu()
