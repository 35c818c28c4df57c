"""Dense boxes: as many as in the paper, and one near every object of any place and shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.evaluation.average_precision import exact_iou
from fastrcnn.proposals.dense import DenseBoxes, dense_boxes
from tests.proposals.test_files import PICTURES, annotation

PICTURE = np.zeros((375, 500, 3), np.uint8)


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (1, 1), (3, 4000)])
def test_there_are_45_thousand_different_boxes_inside_any_picture(size):
    boxes = dense_boxes(np.zeros((*size, 3), np.uint8))
    assert abs(len(boxes) - 45_000) < 500 and boxes.dtype == np.float32
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes[:, 2] <= size[1] * (1 + 1e-6)).all()
    assert (boxes[:, 3] <= size[0] * (1 + 1e-6)).all()


@given(
    st.tuples(st.floats(0.06, 1), st.floats(0.06, 1)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_every_box_of_a_sixteenth_of_the_sides_or_more_has_a_near_one(size, place):
    width, height = size[0] * 500, size[1] * 375
    x1, y1 = place[0] * (500 - width), place[1] * (375 - height)
    wanted = np.array([[x1, y1, x1 + width, y1 + height]])
    # Side by side: at worst 1 / sqrt(0.7) too long or short, and half a step away, in x and y.
    assert exact_iou(wanted, dense_boxes(PICTURE)).max() > 0.5


def test_the_first_boxes_are_a_sample_of_all():
    boxes = dense_boxes(PICTURE)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    assert np.median(areas[:2000]) == pytest.approx(np.median(areas), rel=0.15)
    assert np.array_equal(boxes, dense_boxes(PICTURE))


def test_as_a_source_they_depend_on_the_pictures_size_alone():
    source, first = DenseBoxes(), annotation(PICTURES[0])
    expected = dense_boxes(np.zeros((first.height, first.width, 3), np.uint8))
    assert np.array_equal(source.get(first), expected)
    assert source.search(PICTURES[0]) is dense_boxes
    assert len(list(source.fill([first, first]))) == 2
