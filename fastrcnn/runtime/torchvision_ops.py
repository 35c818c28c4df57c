"""torchvision's operators, imported at the first call.

torchvision also imports torch's compiler, which takes as long to import as torch itself and about
150 MB. Detecting needs only one operator, so `prepare` loads the library that holds it and leaves
torchvision's Python code alone.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor


def prepare() -> None:
    """Load the operators now, so that the time of the first picture does not include it."""
    if not hasattr(torch.ops.torchvision, "nms"):
        torch.ops.load_library(_library())


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """`torchvision.ops.nms`: the indices of the boxes (N, 4) that stay, best score first."""
    prepare()
    return torch.ops.torchvision.nms(boxes, scores, iou)


# torchvision's Python code gives these two their gradients, so it must be imported.


def roi_pool(features: Tensor, rois: Tensor, size: int, scale: float) -> tuple[Tensor, Tensor]:
    """`torchvision.ops.roi_pool`, and also the winning cell of each bin, int32."""
    import torchvision  # noqa: F401

    return torch.ops.torchvision.roi_pool(features, rois, scale, size, size)


def roi_align(features: Tensor, rois: Tensor, size: int, scale: float) -> Tensor:
    """`torchvision.ops.roi_align` with 2 x 2 samples a bin and cells centred on half pixels."""
    from torchvision import ops

    return ops.roi_align(features, rois, size, scale, sampling_ratio=2, aligned=True)


def _library() -> Path:
    """torchvision's compiled operators: ``_C`` or, in newer releases, ``_C_stable``."""
    spec = find_spec("torchvision")
    assert spec is not None and spec.origin is not None
    (library,) = (path for path in Path(spec.origin).parent.glob("_C*.*") if path.suffix != ".py")
    return library
