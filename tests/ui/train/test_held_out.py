"""Which boxes of a held-out picture are followed, and how long their history gets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from fastrcnn.boxes import iou
from fastrcnn.data import Annotation
from fastrcnn.ui.train import held_out
from fastrcnn.ui.train.held_out import choose_followed, regression_overlaps


def picture(boxes: list[list[float]], labels: list[int]) -> Annotation:
    return Annotation(
        image_id="0",
        path=Path("0.png"),
        width=100,
        height=80,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        difficult=np.zeros(len(labels), bool),
    )


def test_of_each_object_the_tightest_and_the_loosest_box_are_followed_and_one_of_nothing():
    boxes = torch.tensor(
        [
            [10.0, 10, 30, 30],  # just foreground of the first object: IoU 0.51
            [60, 40, 100, 80],  # the second object itself
            [10, 10, 38, 38],  # the first one's best
            [0, 70, 10, 80],  # nothing
            [2, 70, 12, 80],  # nothing again
        ]
    )
    followed = choose_followed(boxes, picture([[10, 10, 38, 38], [60, 40, 100, 80]], [3, 5]))
    # The second object is the larger one.
    assert followed.indices.tolist() == [1, 0, 2, 3]
    assert followed.labels.tolist() == [5, 3, 3, 0]
    assert followed.overlaps.tolist() == pytest.approx([1, 400 / 784, 1, 0])
    assert followed.nearest.tolist()[:3] == [1, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_on_random_pictures_each_followed_box_is_labelled_by_its_nearest_object(seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (208, 2))
    every = np.concatenate([corners, corners + random.uniform(5, 30, (208, 2))], axis=1)
    every = every.astype(np.float32)
    annotation = picture(every[:8].tolist(), random.integers(1, 7, 8).tolist())
    followed = choose_followed(torch.from_numpy(every[8:]), annotation)
    assert len(set(followed.indices.tolist())) == len(followed.indices) <= 2 * 6 + 1
    for rank, label, overlap in zip(
        followed.indices, followed.labels, followed.overlaps, strict=True
    ):
        own = iou(torch.from_numpy(every[8:])[rank : rank + 1], torch.from_numpy(annotation.boxes))[
            0
        ]
        assert overlap == own.max()
        assert label == (annotation.labels[own.argmax()] if own.max() >= 0.5 else 0)


@pytest.mark.parametrize("count", [0, 3])
def test_pictures_without_objects_or_proposals_have_something_or_nothing_to_follow(count):
    boxes = torch.tensor([[0.0, 0, 9, 9]]).repeat(count, 1)
    assert choose_followed(boxes, picture([], [])).labels.tolist() == [0] * min(count, 1)
    if count:
        assert choose_followed(boxes, picture([[50, 50, 60, 60]], [1])).labels.tolist() == [0]
    else:
        assert len(choose_followed(boxes, picture([[50, 50, 60, 60]], [1])).labels) == 0


def test_a_long_history_is_thinned_and_keeps_the_first_and_the_newest(monkeypatch):
    monkeypatch.setattr(held_out, "_MOST_LOOKS", 8)
    followed = choose_followed(torch.tensor([[0.0, 0, 9, 9]]), picture([], []))

    def trace(value: float) -> SimpleNamespace:
        scores: Tensor = torch.full((1, 3), value)
        return SimpleNamespace(probabilities=scores, regressed=torch.zeros(1, 3, 4))

    for iteration in range(50):
        followed.note(iteration, trace(iteration))
        assert followed.looks[0].iteration == 0
        assert followed.looks[-1].iteration >= iteration - 1
        assert len(followed.looks) <= 8
    followed.note(49, trace(7.0))  # the averaged weights, after the last iteration
    assert followed.looks[-1].iteration == 49
    assert followed.looks[-1].probabilities.tolist() == [[7.0] * 3]


def test_what_regression_adds_is_measured_on_foreground_and_for_the_objects_own_class():
    objects = picture([[0, 0, 10, 10], [50, 50, 70, 70]], [2, 1])
    boxes = torch.tensor([[0.0, 0, 10, 8], [50, 50, 70, 62], [30, 30, 40, 40]])  # the last: nothing
    regressed = boxes[:, None].repeat(1, 3, 1)
    regressed[0, 2] = torch.tensor([0.0, 0, 10, 10])  # as far as the object
    regressed[1, 1] = torch.tensor([50.0, 50, 70, 60])  # away from it
    regressed[:, 0] = regressed[2] = torch.tensor([0.0, 0, 1, 1])  # nobody reads these
    trace = SimpleNamespace(boxes=boxes, regressed=regressed)
    before, after = regression_overlaps(trace, objects)
    assert before.tolist() == pytest.approx([0.8, 0.6])
    assert after.tolist() == pytest.approx([1, 0.5])
    assert [len(part) for part in regression_overlaps(trace, picture([], []))] == [0, 0]
    nothing = SimpleNamespace(boxes=boxes[:0], regressed=regressed[:0])
    assert [len(part) for part in regression_overlaps(nothing, objects)] == [0, 0]
