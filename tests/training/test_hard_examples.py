import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.boxes import iou
from fastrcnn.training import hardest_rois


def test_the_hardest_that_overlap_no_harder_one_are_chosen():
    boxes = torch.tensor(
        [
            [[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]],
            [[0.0, 0, 10, 10], [40, 0, 50, 10], [20, 0, 30, 10], [0, 0, 0, 0]],
        ]
    )
    losses = torch.tensor([[1.0, 2, 0.5, 0.7], [0.1, 0.2, 0.3, -torch.inf]])
    chosen, found = hardest_rois(losses, boxes, 4)
    # The first box overlaps the harder second one by 0.9, the last one by 5/9.
    assert chosen[0, :3].tolist() == [1, 3, 2]
    assert found[0].tolist() == [True, True, True, False]
    assert chosen[1, :3].tolist() == [2, 1, 0]
    assert found[1].tolist() == [True, True, True, False]


def test_a_box_without_area_is_taken_once():
    chosen, found = hardest_rois(torch.tensor([[3.0, 1]]), torch.zeros(1, 2, 4), 3)
    assert chosen[0, :2].tolist() == [0, 1]
    assert found[0].tolist() == [True, True, False]


def test_a_loss_that_is_not_a_number_is_found():
    losses = torch.tensor([[1.0, torch.nan, 2]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]])
    chosen, found = hardest_rois(losses, boxes, 2)
    assert losses[0, chosen[0]].isnan().any() and found.all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 30))
def test_it_is_suppression_that_stops(seed, candidates, count):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 20, (3, candidates, 2))
    boxes = torch.from_numpy(
        np.concatenate([corners, corners + random.uniform(5, 20, corners.shape)], axis=2)
    )
    losses = torch.from_numpy(random.permutation(3 * candidates).reshape(3, candidates) * 1.0)
    chosen, found = hardest_rois(losses, boxes, count)
    for own, there, cost, places in zip(chosen, found, losses, boxes, strict=True):
        kept: list[int] = []
        for i in cost.argsort(descending=True).tolist():
            if len(kept) < count and not (iou(places[[i]], places[kept]) > 0.7).any():
                kept.append(i)
        assert own[there].tolist() == kept
        assert there.tolist() == [True] * len(kept) + [False] * (count - len(kept))


def test_as_torchvisions_suppression():
    ops = pytest.importorskip("torchvision.ops")
    random = torch.Generator().manual_seed(0)
    corners = torch.rand(1, 300, 2, generator=random) * 100
    boxes = torch.cat([corners, corners + 10 + 50 * torch.rand(1, 300, 2, generator=random)], 2)
    losses = torch.rand(1, 300, generator=random)
    chosen, found = hardest_rois(losses, boxes, 64)
    assert found.all()
    assert chosen[0].tolist() == ops.nms(boxes[0], losses[0], 0.7)[:64].tolist()
