"""R-CNN (Girshick et al. 2014): the convolutions run on every box, cut out and warped to a square.

Fast R-CNN runs them once on the picture instead. K classes with background at 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fastrcnn.detector import Detector, Trace


class Crop(NamedTuple):
    """One box as R-CNN computes it.

    pixels: (side, side, 3) uint8 RGB, the warped box. seconds: the time of cutting, warping and the
    convolutions. probabilities: (K,), on the processor.
    """

    pixels: np.ndarray
    seconds: float
    probabilities: Tensor


def crops(detector: Detector, trace: Trace, boxes: Tensor) -> Iterator[Crop]:
    """Run the convolutions and the head on each of these boxes (R, 4), one after another.

    To stop, do not ask for the next one. Each box is warped to a square that gives two cells of the
    last map for each bin a side: 224 x 224 for VGG16, whose own last max-pooling then halves the
    map. R-CNN also shows the network 16 pixels around each box. They are left out here, so that
    both methods see the same pixels.
    """
    pool = detector.model.roi_pool
    side = 2 * pool.size * pool.stride
    for box in boxes:
        start = time.perf_counter()
        pixels = warp(trace.image, box, side)
        with torch.inference_mode():
            features = detector.convolve(detector.model.backbone.preprocess(pixels))
            seconds = time.perf_counter() - start
            pooled = F.adaptive_max_pool2d(features, pool.size).to(detector.device)
            probabilities, _ = detector.model.interpret(*detector.model.head(pooled))
        yield Crop(pixels, seconds, probabilities[0].cpu())


def one_pass(detector: Detector, trace: Trace) -> float:
    """The seconds that Fast R-CNN needs for the same: it resizes the picture and runs the
    convolutions on it, once for all boxes.
    """
    start = time.perf_counter()
    model = detector.model
    with torch.inference_mode():
        pixels, _ = model.config.resize.resize(trace.image)
        detector.convolve(model.backbone.preprocess(pixels))
    return time.perf_counter() - start


def warp(image: np.ndarray, box: Tensor, side: int) -> np.ndarray:
    """The pixels of a box (4,), stretched to `side` x `side`, without regard to its shape.

    The box is rounded to whole pixels, at least one.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(value) for value in box.tolist())
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    x2, y2 = max(min(x2, width), x1 + 1), max(min(y2, height), y1 + 1)
    return cv2.resize(image[y1:y2, x1:x2], (side, side), interpolation=cv2.INTER_LINEAR)
