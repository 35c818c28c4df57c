"""Where the gradient of one box's loss goes on the feature map (section 2.3, equation 4).

C channels, a map of H' x W' cells, S x S bins, K classes with background at 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fastrcnn.boxes import encode
from fastrcnn.detector import Detector, Inspection, Trace
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.model.roi_pool import RoIPool
from fastrcnn.training.loss import Loss, roi_losses


class BoxGradient(NamedTuple):
    """The multi-task loss of one box, and its gradient. All tensors are on the processor.

    loss: scalars, with lambda 1. predicted, target: (4,), t^u and v, normalised. bins:
    (C, S, S), for each pooled value. cells: (C, H', W'), for each value of the map.
    """

    loss: Loss
    predicted: Tensor
    target: Tensor
    bins: Tensor
    cells: Tensor


def box_gradient(
    detector: Detector, trace: Trace, seen: Inspection, label: int, true_box: Tensor
) -> BoxGradient:
    """The loss of the box in `seen` if its true class is `label` and its object is `true_box`.

    seen: from `detector.inspect`; its kind of pooling is used. label: 0 to K - 1; background (0)
    has no box loss. true_box: (4,) in pixels of the trace's picture.
    """
    model, device = detector.model, detector.device
    head = model.head
    # Copies, because what was made in inference mode cannot be differentiated.
    pooled = seen.pooled.to(device, copy=True).requires_grad_()
    target = (encode(seen.box[None], true_box.float()[None]).to(device) - head.bbox_mean) / (
        head.bbox_std
    )
    with torch.enable_grad():
        cls_score, bbox_pred = head(pooled[None])
        labels = torch.tensor([label], device=device)
        losses = roi_losses(cls_score, bbox_pred, labels, target)
        (bins,) = torch.autograd.grad(losses.total.sum(), pooled)
    shape = trace.features.shape[1:]
    if seen.argmax is None:
        cells = _through_align(detector, trace, seen, bins)
    else:
        cells = through_winners(bins.cpu(), seen.argmax, shape)
    return BoxGradient(
        Loss(*(part.detach().cpu()[0] for part in losses[:3])),
        bbox_pred.detach().cpu()[0, label],
        target.cpu()[0],
        bins.cpu(),
        cells,
    )


def through_winners(bins: Tensor, argmax: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Equation 4: each bin hands its gradient to its winning cell alone, and a cell adds up what
    it gets. All other cells get nothing.

    bins: (C, S, S). argmax: (C, S, S) int64, row x W' + column, -1 for an empty bin. shape:
    (C, H', W'), that of the result.
    """
    winners = argmax.flatten(1)
    handed = torch.where(winners >= 0, bins.flatten(1), 0)
    cells = bins.new_zeros(shape).flatten(1)
    return cells.scatter_add(1, winners.clamp(min=0), handed).view(shape)


def _through_align(detector: Detector, trace: Trace, seen: Inspection, bins: Tensor) -> Tensor:
    """RoIAlign's own gradient: every bin shares its own among the cells around its samples."""
    own = detector.model.roi_pool
    pool = RoIPool(seen.pooling, own.size, own.stride)
    features = trace.features[seen.level : seen.level + 1]
    features = features.to(detector.device, copy=True).requires_grad_()
    rois = with_image_index([(seen.exact * pool.stride)[None].to(features)], features)
    with torch.enable_grad():
        (cells,) = torch.autograd.grad(pool(features, rois), features, bins[None])
    return cells[0].cpu()
