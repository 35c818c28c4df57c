"""The multi-task loss (paper, section 2.3, equations 1 to 3).

R sampled RoIs, K classes with background at 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Loss(NamedTuple):
    """total = cls + lambda loc; scalars, of which `total` is the one to differentiate."""

    total: Tensor
    cls: Tensor
    loc: Tensor


def smooth_l1(x: Tensor) -> Tensor:
    """Element by element (equation 3):

        0.5 x^2      where |x| < 1
        |x| - 0.5    elsewhere

    which, unlike a square, does not let one far-off target drown the others.
    """
    size = x.abs()
    return torch.where(size < 1, 0.5 * x * x, size - 0.5)


def multi_task_loss(
    cls_score: Tensor,
    bbox_pred: Tensor,
    labels: Tensor,
    targets: Tensor,
    loc_weight: float = 1.0,
    count: float | None = None,
) -> Loss:
    """L = L_cls(p, u) + lambda [u >= 1] L_loc(t^u, v), averaged over the R sampled RoIs.

    cls_score: (R, K) before the softmax. bbox_pred: (R, K, 4). labels: (R,) int64, the classes u.
    targets: (R, 4), v. loc_weight: lambda. count: the number of RoIs to divide by where these R
    are only some of the batch's.

    L_cls is the log loss of the true class. L_loc sums smooth L1 over the four numbers that were
    predicted for the true class. Background rows add nothing to it but are counted in R, as in the
    paper; the walk-through also averages over the four numbers, which makes its box loss a quarter
    of this one.
    """
    count = max(len(labels), 1) if count is None else count
    cls = F.cross_entropy(cls_score, labels, reduction="sum") / count
    foreground = torch.nonzero(labels > 0).squeeze(1)
    predicted = bbox_pred[foreground, labels[foreground]]  # (F, 4)
    loc = smooth_l1(predicted - targets[foreground]).sum() / count
    return Loss(cls + loc_weight * loc, cls, loc)
