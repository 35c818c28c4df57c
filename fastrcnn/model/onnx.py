"""The network as an ONNX file, for programs that have neither Python nor PyTorch.

Proposals, the resizing of the picture, and non-maximum suppression are not part of the file. A
program brings its own boxes and handles the scores itself. H x W pixels, R boxes, K classes with
the background at 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from fastrcnn import boxes as box_ops
from fastrcnn.errors import CheckpointError, MissingPackageError, reason
from fastrcnn.model.fast_rcnn import FastRCNN
from fastrcnn.model.roi_pool import ALL_ROIS, RoIPool
from fastrcnn.runtime.atomic_write import atomic_write

INPUTS = ("picture", "boxes")
OUTPUTS = ("probabilities", "deltas", "regressed")


def export_onnx(model: FastRCNN, path: str | Path) -> None:
    """Write the network as one ONNX file, weights included.

    The inputs are ``picture``, (H, W, 3) uint8 RGB, resized as the file's metadata says under
    "resize" (see `Resize`), and ``boxes``, (R, 4) float32 x1 y1 x2 y2 in pixels of that picture.
    The outputs are ``probabilities`` (R, K), ``deltas`` (R, K, 4) and ``regressed`` (R, K, 4), the
    boxes moved by the deltas, in the same pixels and clipped to the picture. H, W and R are free; R
    may be 0. The metadata also has "classes", a JSON list of the K-1 names without the background.

    RoI pooling becomes ONNX's MaxRoiPool, which rounds as the paper does, or its RoiAlign. The
    walk-through's pooling becomes a MaxRoiPool of whole cells. The results are equal, except for
    crops that are 57 cells long and some longer ones: their last bin has one cell more.

    The file's folder is made if it does not exist. Raises MissingPackageError without onnxscript,
    which PyTorch needs for the export, and CheckpointError if the file cannot be written.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("The export to ONNX", "onnxscript") from error
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        program = _program(model)
        with atomic_write(path) as part:
            program.save(part, external_data=False)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {reason(error)}.") from error


def _program(model: FastRCNN) -> torch.onnx.ONNXProgram:
    example = torch.zeros(320, 480, 3, dtype=torch.uint8), torch.tensor([[16.0, 32, 200, 300]] * 3)
    # With gradients off, the backbone would choose kernels that only PyTorch has.
    with torch.enable_grad():
        program = torch.onnx.export(
            _Exported(model).eval(),
            example,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes={"picture": {0: "H", 1: "W"}, "boxes": {0: "R"}},
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(
        classes=json.dumps(model.config.classes),
        resize=model.config.resize.model_dump_json(),
    )
    return program


class _Exported(nn.Module):
    """From a picture through `FastRCNN.forward`, in operations that ONNX has."""

    def __init__(self, model: FastRCNN) -> None:
        super().__init__()
        with torch.device("meta"):
            self.model = FastRCNN(model.config, model.backbone)
        self.model.head = model.head
        own = model.roi_pool
        self.model.roi_pool = _OnnxRoIPool(own.pooling, own.size, own.stride)

    def forward(self, picture: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = self.model
        scores = model(model.backbone.normalise(picture[None]), [boxes])
        probabilities, deltas = model.interpret(*scores)
        height, width = picture.shape[:2]
        regressed = box_ops.clip(box_ops.decode(boxes, deltas), height, width)
        return probabilities, deltas, regressed


class _OnnxRoIPool(RoIPool):
    def parts(self, features: Tensor, rois: Tensor, count: int = ALL_ROIS) -> Iterator[Tensor]:
        """(1, C, H', W') and (R, 5) -> (R, C, S, S), all of it at once."""
        scale, boxes = 1 / self.stride, rois[:, 1:]
        if self.pooling == "align":
            yield _onnx(
                "RoiAlign",
                (features, boxes, rois[:, 0].long()),
                {
                    "spatial_scale": scale,
                    "sampling_ratio": 2,
                    "output_height": self.size,
                    "output_width": self.size,
                    "coordinate_transformation_mode": "half_pixel",
                },
                self.size,
            )
            return
        if self.pooling == "walkthrough":
            # As `RoIPool.cells`, but with the last cell in place of the one after it.
            exact, scale = boxes * scale, 1.0
            height, width = features.shape[2:]
            x1 = exact[:, 0].floor().clamp(0, width - 1)
            y1 = exact[:, 1].floor().clamp(0, height - 1)
            x2 = exact[:, 2].ceil().clamp(max=width).maximum(x1 + 1) - 1
            y2 = exact[:, 3].ceil().clamp(max=height).maximum(y1 + 1) - 1
            rois = torch.stack([rois[:, 0], x1, y1, x2, y2], dim=1)
        yield _onnx(
            "MaxRoiPool",
            (features, rois),
            {"pooled_shape": [self.size, self.size], "spatial_scale": scale},
            self.size,
        )


def _onnx(name: str, inputs: tuple[Tensor, ...], attributes: dict, size: int) -> Tensor:
    """An operation of ONNX itself. While PyTorch traces the graph, it gives a map of zeros."""
    features, boxes = inputs[:2]
    shape = (boxes.shape[0], features.shape[1], size, size)
    return torch.onnx.ops.symbolic(name, inputs, attributes, dtype=features.dtype, shape=shape)
