"""A detector of a few thousand weights, and its trace of boxes that lie badly on the cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastrcnn.detector import Detector, Trace
from fastrcnn.model import Resize
from tests.model.tiny import noisy_ramp, tiny_model

BOXES = np.array(
    [[3, 5, 61, 47], [20.4, 9.3, 31.2, 60], [0, 0, 80, 64], [70, 50, 80, 64], [17, 33, 20, 35]],
    np.float32,
)


@pytest.fixture(scope="package", params=["paper", "walkthrough", "align"])
def detector(request) -> Detector:
    model = tiny_model(pooling=request.param, resize=Resize(shorter=128, longer=200))
    # As after training: scores that differ, and targets that are normalised.
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.5)
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.5)
    model.head.bbox_mean = torch.tensor([0.1, -0.1, 0.2, 0.0])
    model.head.bbox_std = torch.tensor([0.1, 0.1, 0.2, 0.3])
    return Detector(model, precision="float32")


@pytest.fixture(scope="package")
def trace(detector) -> Trace:
    return detector.trace(noisy_ramp(), boxes=BOXES)
