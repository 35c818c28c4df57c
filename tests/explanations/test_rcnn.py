"""R-CNN on crops, held to the network that sees each crop as a picture of its own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fastrcnn.explanations.rcnn import crops, one_pass, warp
from tests.explanations.conftest import BOXES


def test_each_box_goes_through_the_convolutions_alone(detector, trace):
    model = detector.model
    found = list(crops(detector, trace, trace.boxes))
    assert len(found) == len(BOXES)
    for crop, box in zip(found, BOXES, strict=True):
        x1, y1, x2, y2 = (round(float(side)) for side in box)
        pixels = cv2.resize(trace.image[y1:y2, x1:x2], (224, 224))
        assert (crop.pixels == pixels).all() and crop.seconds > 0
        with torch.no_grad():
            features = model.backbone(model.backbone.preprocess(pixels))  # (1, C, 14, 14)
            score, _ = model.head(F.max_pool2d(features, 2))
        torch.testing.assert_close(crop.probabilities, score[0].softmax(0), rtol=1e-4, atol=1e-5)


def test_nothing_is_computed_before_it_is_asked_for(detector, trace, monkeypatch):
    seen = []
    convolve = detector.convolve
    monkeypatch.setattr(detector, "convolve", lambda pixels: seen.append(1) or convolve(pixels))
    some = crops(detector, trace, trace.boxes)
    assert not seen
    next(some)
    assert len(seen) == 1


def test_fast_rcnn_runs_the_convolutions_once_on_the_input_of_the_trace(
    detector, trace, monkeypatch
):
    made = []
    convolve = detector.convolve
    monkeypatch.setattr(detector, "convolve", lambda pixels: made.append(convolve(pixels)))
    assert one_pass(detector, trace) > 0
    torch.testing.assert_close(torch.cat(made), trace.features)


@pytest.mark.parametrize("box", [[5.4, 5.4, 5.4, 5.4], [-9, -9, -3, -3], [90, 70, 99, 80]])
def test_a_box_of_no_size_or_off_the_picture_takes_the_nearest_pixel(box):
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    pixels = warp(image, torch.tensor(box), 14)
    x, y = min(max(round(box[0]), 0), 79), min(max(round(box[1]), 0), 63)
    assert (pixels == image[y, x]).all()
