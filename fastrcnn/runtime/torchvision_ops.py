"""torchvision's operators, imported at the first call.

torchvision also imports torch's compiler, which takes as long to import as torch itself. A visitor
who opens the page should not have to wait for that.
"""

from __future__ import annotations

import torch
from torch import Tensor


def prepare() -> None:
    """Import the operators now, so that the time of the first picture does not include it."""
    from torchvision import ops  # noqa: F401


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """`torchvision.ops.nms`: the indices of the boxes (N, 4) that stay, best score first."""
    from torchvision import ops

    return ops.nms(boxes, scores, iou)


def roi_pool(features: Tensor, rois: Tensor, size: int, scale: float) -> tuple[Tensor, Tensor]:
    """`torchvision.ops.roi_pool`, and also the winning cell of each bin, int32."""
    prepare()
    return torch.ops.torchvision.roi_pool(features, rois, scale, size, size)


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """`torchvision.ops.roi_align` with 2 x 2 samples a bin and cells centred on half pixels."""
    from torchvision import ops

    return ops.roi_align(features, rois, size, scale, sampling_ratio=2, aligned=True)
