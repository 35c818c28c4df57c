import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.boxes import decode
from fastrcnn.errors import DataError
from fastrcnn.training import Targets, label_proposals, target_statistics

OBJECTS = torch.tensor([[0.0, 0, 10, 10], [20, 0, 40, 10]])
CLASSES = torch.tensor([3, 7])


def test_labels_by_hand():
    proposals = torch.tensor(
        [
            [0.0, 0, 10, 10],  # the first object itself
            [0, 0, 10, 5],  # IoU 50 / 100: just foreground
            [0, 0, 10, 4.9],  # just background
            [0, 0, 10, 1],  # IoU 0.1: just background
            [0, 0, 10, 0.9],  # too little to be of use
            [20, 0, 40, 12],  # the second object, IoU 200 / 240
            [50, 50, 60, 60],  # nothing
        ]
    )
    targets = label_proposals(proposals, OBJECTS, CLASSES)
    assert targets.labels.tolist() == [3, 3, 0, 0, -1, 7, -1]
    assert targets.overlaps.tolist() == pytest.approx([1, 0.5, 0.49, 0.1, 0.09, 200 / 240, 0])


def test_deltas_by_hand():
    proposals = torch.tensor([[0.0, 0, 10, 5], [0, 0, 10, 4.9]])
    deltas = label_proposals(proposals, OBJECTS, CLASSES).deltas
    # The object's centre lies 2.5 below, half the proposal's height; it is twice as high.
    assert deltas[0].tolist() == pytest.approx([0, 0.5, 0, math.log(2)])
    assert deltas[1].tolist() == [0, 0, 0, 0]


def test_the_limits_can_be_moved():
    # IoU 0.6, exactly 0.5, 0.4 and 0.05.
    proposals = torch.tensor([[0.0, 0, 10, height] for height in (6, 5, 4, 0.5)])
    labels = label_proposals(proposals, OBJECTS, CLASSES, 0.7, 0.0, 0.5).labels
    assert labels.tolist() == [-1, -1, 0, 0]


def test_of_a_picture_without_objects_all_is_background():
    proposals = torch.tensor([[0.0, 0, 10, 6], [3, 3, 4, 4]])
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    for low in (0.1, 0.0):
        targets = label_proposals(proposals, *none, bg_iou_low=low)
        assert targets.labels.tolist() == [0, 0]
        assert targets.overlaps.tolist() == [0, 0] and not targets.deltas.any()


def test_no_background_lies_on_an_ignored_object():
    proposals = torch.tensor(
        [
            [0.0, 0, 10, 10],  # an object's own box, and half of the ignored one
            [0, 0, 10, 3],  # IoU 0.3 with the object, 0.15 with the ignored one
            [0, 10, 10, 20],  # half of the ignored one: not background, though 0 with the object
            [30, 0, 40, 10],  # half of the second object
        ]
    )
    ignored = torch.tensor([[0.0, 0, 10, 20]])
    targets = label_proposals(proposals, OBJECTS, CLASSES, bg_iou_low=0, ignored=ignored)
    assert targets.labels.tolist() == [3, 0, -1, 7]
    # Without objects, all that does not lie on the ignored one is background.
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    assert label_proposals(proposals, *none, ignored=ignored).labels.tolist() == [-1, 0, -1, 0]


def test_no_proposals_give_no_targets():
    targets = label_proposals(torch.zeros(0, 4), OBJECTS, CLASSES)
    assert [len(part) for part in targets] == [0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_labels_agree_with_a_slow_version(seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 30, (25, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 30, (25, 2))], axis=1)
    proposals, objects = boxes[:20], boxes[20:]
    classes = random.integers(1, 5, 5)
    targets = label_proposals(*map(torch.from_numpy, (proposals, objects, classes)))
    for index, (x1, y1, x2, y2) in enumerate(proposals):
        overlaps = []
        for gx1, gy1, gx2, gy2 in objects:
            shared = max(min(x2, gx2) - max(x1, gx1), 0) * max(min(y2, gy2) - max(y1, gy1), 0)
            both = (x2 - x1) * (y2 - y1) + (gx2 - gx1) * (gy2 - gy1) - shared
            overlaps.append(shared / both)
        best = int(np.argmax(overlaps))
        expected = -1
        if overlaps[best] >= 0.5:
            expected = classes[best]
            back = decode(torch.from_numpy(proposals[[index]]), targets.deltas[[index]])
            assert back[0].tolist() == pytest.approx(objects[best].tolist())
        elif overlaps[best] >= 0.1:
            expected = 0
        assert targets.labels[index] == expected


def test_statistics_are_those_of_the_foreground():
    random = torch.Generator().manual_seed(0)
    deltas = torch.randn(50, 4, generator=random) * torch.tensor([0.1, 0.1, 0.2, 3]) + 1
    labels = torch.arange(50) % 3 - 1
    overlaps = torch.zeros(50)
    halves = [
        Targets(labels[part], deltas[part], overlaps[part]) for part in (slice(20), slice(20, 50))
    ]
    mean, std = target_statistics(halves)
    foreground = deltas[labels > 0].numpy()
    assert mean.tolist() == pytest.approx(foreground.mean(0), abs=1e-6)
    assert std.tolist() == pytest.approx(foreground.std(0), rel=1e-5)


def test_a_coordinate_that_never_varies_is_left_in_its_unit():
    deltas = torch.tensor([[0.0, 0.5, 0, 1], [0, 0.5, 0, 3]])
    mean, std = target_statistics([Targets(torch.tensor([1, 2]), deltas, torch.ones(2))])
    assert mean.tolist() == [0, 0.5, 0, 2]
    assert std.tolist() == [1, 1, 1, 1]


def test_statistics_without_foreground_are_refused():
    background = Targets(torch.tensor([0, -1]), torch.zeros(2, 4), torch.zeros(2))
    for pictures in ([], [background]):
        with pytest.raises(DataError) as caught:
            target_statistics(pictures)
        assert str(caught.value) == (
            "No proposal overlaps an object enough to be foreground; lower fg_iou, add the ground "
            "truth, or look at the annotations."
        )
