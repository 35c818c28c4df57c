"""The targets of each proposal: its class and the deltas to its object (paper, section 2.3).

R proposals, G objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from fastrcnn.boxes import encode, iou
from fastrcnn.errors import DataError

IGNORED = -1


class Targets(NamedTuple):
    """labels: (R,) int64; the object's class for foreground, 0 for background, -1 for unused.
    deltas: (R, 4), move a foreground proposal onto its object; zeros for the others.
    overlaps: (R,), the best IoU with any object.
    """

    labels: Tensor
    deltas: Tensor
    overlaps: Tensor


def label_proposals(
    proposals: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    fg_iou: float = 0.5,
    bg_iou_low: float = 0.1,
    bg_iou_high: float = 0.5,
    ignored: Tensor | None = None,
) -> Targets:
    """Give each proposal (R, 4) the object (G, 4) that it overlaps most.

    A proposal is foreground if its IoU is at least fg_iou, and background if its IoU lies in
    [bg_iou_low, bg_iou_high): a proposal that overlaps a little teaches more than one that overlaps
    nothing. If overlaps are equal, the first object counts. In a picture without objects every IoU
    is 0 and every proposal is background, since such a picture has nothing else to teach.

    ignored: (I, 4), objects that are not learned. A proposal that overlaps one of them by
    bg_iou_high or more is not background.
    """
    labels = torch.full((len(proposals),), IGNORED)
    deltas = proposals.new_zeros((len(proposals), 4))
    overlaps = proposals.new_zeros(len(proposals))
    if len(gt_boxes):
        overlaps, nearest = iou(proposals, gt_boxes).max(dim=1)
    else:
        bg_iou_low = 0.0
    labels[(overlaps >= bg_iou_low) & (overlaps < bg_iou_high)] = 0
    if ignored is not None and len(ignored):
        labels[(iou(proposals, ignored) >= bg_iou_high).any(dim=1)] = IGNORED
    foreground = torch.nonzero(overlaps >= fg_iou).squeeze(1)
    if len(foreground):
        objects = nearest[foreground]
        labels[foreground] = gt_labels[objects]
        deltas[foreground] = encode(proposals[foreground], gt_boxes[objects])
    return Targets(labels, deltas, overlaps)


def target_statistics(pictures: Iterable[Targets]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (4,) of the deltas of all foreground proposals.

    The network learns (delta - mean) / std. That brings tx, ty, tw and th to one scale (paper,
    section 2.3: zero mean and unit variance). Raises DataError when there is no foreground.
    """
    foreground = [targets.deltas[targets.labels > 0].double() for targets in pictures]
    if not any(map(len, foreground)):
        raise DataError(
            "No proposal overlaps an object enough to be foreground; lower fg_iou, add the ground "
            "truth, or look at the annotations."
        )
    deltas = torch.cat(foreground)
    std = deltas.std(dim=0, correction=0)
    # A coordinate that never varies cannot be brought to unit variance.
    return deltas.mean(dim=0).float(), torch.where(std > 1e-6, std, 1).float()
