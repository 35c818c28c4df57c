"""Online hard example mining (Shrivastava et al. 2016): the RoIs that the network gets most wrong.

B pictures, n candidate RoIs each.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SAME_LOSS_IOU = 0.7  # RoIs that overlap more than this are as hard as each other


def hardest_rois(losses: Tensor, boxes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` candidates of each picture with the largest loss, the hardest first.

    losses: (B, n), n at least 1, -inf for a candidate that must not be used. boxes: (B, n, 4).
    Among RoIs with an IoU of more than 0.7 only the hardest is taken, since their losses would
    count the same mistake twice (section 4.2). Returns indices (B, count), and (B, count) bool,
    false where no candidate was left.

    This is non-maximum suppression that stops at `count`, for all pictures at once. Unlike
    torchvision's it reads nothing from the device, so it never waits for it.
    """
    same = _pair_iou(boxes) > _SAME_LOSS_IOU  # (B, n, n)
    rows = torch.arange(len(losses), device=losses.device)
    left, chosen, found = losses, [], []
    for _ in range(count):
        largest, index = left.max(dim=1)  # (B,)
        chosen.append(index)
        found.append(largest != -torch.inf)  # a loss that is not a number must not be hidden
        left = left.masked_fill(same[rows, index], -torch.inf)
        # A box without area overlaps nothing, not even itself.
        left = left.scatter(1, index[:, None], -torch.inf)
    return torch.stack(chosen, dim=1), torch.stack(found, dim=1)


def _pair_iou(boxes: Tensor) -> Tensor:
    """IoU of each picture's boxes with each other: (B, n, 4) -> (B, n, n)."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=3)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=2)
    union = area[:, :, None] + area[:, None] - shared
    return torch.where(shared > 0, shared / union, 0)
