"""A box that moves by pixels, held to an inspection of each place."""

from __future__ import annotations

import pytest
import torch

from fastrcnn.explanations.rounding import moved, scores_with, shifts_of
from fastrcnn.model.roi_pool import POOLINGS


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("index", [0, 1, 4])
def test_each_place_has_the_score_of_its_own_inspection(detector, trace, index, axis):
    box = trace.boxes[index]
    shifts = shifts_of(box, trace, axis, stride=16)
    boxes = moved(box, shifts, axis)
    assert 0 in shifts and torch.equal(boxes[shifts == 0][0], box)
    for pooling in POOLINGS:
        found = scores_with(detector, trace, boxes, pooling).softmax(dim=1)
        each = [detector.inspect(trace, place, pooling).probabilities for place in boxes]
        torch.testing.assert_close(found, torch.stack(each), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_box_stays_inside_the_picture_and_moves_by_whole_pixels(trace, axis):
    height, width = trace.image.shape[:2]
    for box in trace.boxes:
        shifts = shifts_of(box, trace, axis, stride=16)
        assert torch.equal(shifts, shifts.round()) and (shifts.diff() == 1).all()
        boxes = moved(box, shifts, axis)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        # 16 input pixels are 8 of the picture, and a half of that more.
        assert shifts.abs().max() <= 12
    whole = torch.tensor([0.0, 0, width, height])
    assert shifts_of(whole, trace, axis, stride=16).tolist() == [0]


def test_a_cell_of_many_pixels_is_crossed_in_larger_steps(trace):
    shifts = shifts_of(torch.tensor([30.0, 20, 50, 40]), trace, 0, stride=160)
    assert len(shifts) <= 81 and (shifts.diff() == shifts.diff()[0]).all()
