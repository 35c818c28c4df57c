"""The multi-task loss (paper, section 2.3, equations 1 to 3).

R sampled RoIs, K classes with background at 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fastrcnn.training.targets import IGNORED


class Loss(NamedTuple):
    """total = cls + lambda loc, the means over all RoIs."""

    total: Tensor
    cls: Tensor
    loc: Tensor


class RoILosses(NamedTuple):
    """The losses of each RoI, (R,). predicted: (R, 4), t^u, the numbers for the true class."""

    total: Tensor
    cls: Tensor
    loc: Tensor
    predicted: Tensor


def smooth_l1(x: Tensor, beta: float = 1.0) -> Tensor:
    """Element by element (equation 3, where beta is 1):

        0.5 x^2 / beta      where |x| < beta
        |x| - 0.5 beta      elsewhere

    Unlike a square, it does not let one far-off target drown the others.
    """
    size = x.abs()
    return torch.where(size < beta, 0.5 * x * x / beta, size - 0.5 * beta)


def roi_losses(
    cls_score: Tensor,
    bbox_pred: Tensor,
    labels: Tensor,
    targets: Tensor,
    loc_weight: float = 1.0,
    beta: float = 1.0,
) -> RoILosses:
    """L = L_cls(p, u) + lambda [u >= 1] L_loc(t^u, v) of each RoI.

    cls_score: (R, K) before the softmax. bbox_pred: (R, K, 4). labels: (R,) int64, the classes u;
    a RoI with label -1 is not used and has no loss. targets: (R, 4), v. loc_weight: lambda. beta:
    see `smooth_l1`.

    L_cls is the log loss of the true class. L_loc sums smooth L1 over the four numbers that were
    predicted for the true class. No RoIs are counted here, as that would wait for the device.
    """
    cls = F.cross_entropy(cls_score, labels, reduction="none", ignore_index=IGNORED)
    rows = torch.arange(len(labels), device=labels.device)
    predicted = bbox_pred[rows, labels.clamp(min=0)]  # (R, 4)
    loc = smooth_l1(predicted - targets, beta).sum(dim=1)
    loc = torch.where(labels > 0, loc, 0)
    return RoILosses(cls + loc_weight * loc, cls, loc, predicted)


def multi_task_loss(
    cls_score: Tensor,
    bbox_pred: Tensor,
    labels: Tensor,
    targets: Tensor,
    loc_weight: float = 1.0,
    beta: float = 1.0,
) -> Loss:
    """The mean of `roi_losses` over the R RoIs that are used: scalars, `total` to differentiate.

    Background rows add nothing to L_loc but are counted in R, as in the paper. The walk-through
    also averages over the four numbers, so its box loss is a quarter of this one.
    """
    losses = roi_losses(cls_score, bbox_pred, labels, targets, loc_weight, beta)
    count = (labels != IGNORED).sum().clamp(min=1)
    return Loss(*(part.sum() / count for part in losses[:3]))
