"""RoI pooling against torchvision, the readable references and numbers worked by hand."""

from __future__ import annotations

import time

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.errors import RecipeError
from fastrcnn.model.roi_pool import (
    RoIPool,
    roi_pool_reference,
    walkthrough_roi_pool_reference,
)

# Boxes for an 11 x 9 map of stride 16: inside, on the half cells, off the map on each side, over
# all of it, inverted, a point, a line, and one that no machine word holds.
DEGENERATE = [
    [0, 20, 30, 100, 90],
    [1, 8, 24, 40, 56],
    [0, -300, -300, -200, -200],
    [1, 400, 20, 500, 60],
    [0, 20, 400, 60, 500],
    [1, -50, -50, 1000, 1000],
    [0, 90, 90, 30, 30],
    [1, 32, 48, 32, 48],
    [0, 37, 41, 37, 41],
    [1, 10, 50, 120, 50],
    [0, 1e6, 1e6, 2e6, 2e6],
]


def random_rois(count: int, images: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """RoIs of all sizes for a map of `height` x `width` cells, some of them reaching off it."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 1.2 - 0.1
    extent = torch.rand(count, 2, generator=generator) ** 2
    boxes = torch.cat([corner, corner + extent], dim=1) * 16
    boxes = boxes * torch.tensor([width, height, width, height])
    image = torch.randint(images, (count, 1), generator=generator)
    return torch.cat([image, boxes], dim=1)


def random_map(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    """Half zeros, as after a ReLU, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).relu()


def reference(pooling: str):
    return {"paper": roi_pool_reference, "walkthrough": walkthrough_roi_pool_reference}[pooling]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (2, 3, 40, 70), (2, 3, 1, 1), (2, 3, 1, 20)])
def test_paper_form_equals_torchvision_and_the_reference(shape, dtype):
    features = random_map(*shape, dtype=dtype)
    rois = torch.cat([random_rois(30, 2, *shape[2:]), torch.tensor(DEGENERATE)]).to(dtype)
    expected = torchvision.ops.roi_pool(features, rois, 7, 1 / 16)
    assert torch.equal(RoIPool("paper")(features, rois), expected)
    assert torch.equal(roi_pool_reference(features, rois), expected)
    learning = RoIPool("paper")(features.clone().requires_grad_(), rois)
    assert torch.equal(learning, expected)


@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (2, 3, 70, 40), (2, 3, 1, 1), (2, 3, 20, 1)])
def test_walkthrough_form_equals_its_loop(shape):
    features = random_map(*shape) - 0.1
    rois = torch.cat([random_rois(60, 2, *shape[2:]), torch.tensor(DEGENERATE)])
    expected = walkthrough_roi_pool_reference(features, rois)
    assert torch.equal(RoIPool("walkthrough")(features, rois), expected)
    learning = RoIPool("walkthrough")(features.clone().requires_grad_(), rois)
    assert torch.equal(learning, expected)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
@pytest.mark.parametrize("size, stride", [(1, 16), (6, 16), (7, 8), (3, 10)])
def test_other_sizes_and_strides_equal_the_slow_loop(pooling, size, stride):
    features = random_map(2, 3, 12, 15)
    rois = random_rois(30, 2, 12, 15)
    pooled = RoIPool(pooling, size, stride)(features, rois)
    assert torch.equal(pooled, reference(pooling)(features, rois, size, 1 / stride))
    if pooling == "paper":
        expected = torchvision.ops.roi_pool(features, rois, size, 1 / stride)
        assert torch.equal(pooled, expected)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.lists(st.tuples(*[st.floats(-600, 600, width=32)] * 4), max_size=8),
)
def test_any_box_on_any_map(height, width, boxes):
    features = random_map(1, 2, height, width)
    rois = torch.tensor([(0, *box) for box in boxes]).reshape(-1, 5)
    paper = RoIPool("paper")(features, rois)
    assert torch.equal(paper, torchvision.ops.roi_pool(features, rois, 7, 1 / 16))
    taught = RoIPool("walkthrough")(features, rois)
    assert torch.equal(taught, walkthrough_roi_pool_reference(features, rois))


def test_align_is_torchvision_roi_align():
    features = random_map(2, 3, 9, 11)
    rois = random_rois(20, 2, 9, 11)
    expected = torchvision.ops.roi_align(features, rois, 7, 1 / 16, 2, aligned=True)
    assert torch.equal(RoIPool("align")(features, rois), expected)


def test_rounding_worked_by_hand():
    # On a row of eight cells 0, 1, ... 7, the box from pixel 24 to 72 is cells 1.5 to 4.5.
    features = torch.arange(8.0).view(1, 1, 1, 8)
    rois = torch.tensor([[0.0, 24, 0, 72, 16]])
    # paper: 1.5 rounds to 2 and 4.5 to 5, both kept: four cells in two bins.
    assert RoIPool("paper", size=2)(features, rois)[0, 0, 0].tolist() == [3, 5]
    # walk-through: 1 up to, not including, 5.
    assert RoIPool("walkthrough", size=2)(features, rois)[0, 0, 0].tolist() == [2, 4]


def test_seven_sevenths_of_57_cells_are_more_than_57_in_floating_point_alone():
    # The paper's form computes so, and its last bin reaches a cell beyond the box.
    features = torch.arange(60.0).view(1, 1, 1, 60)
    paper = RoIPool("paper")(features, torch.tensor([[0.0, 0, 0, 56 * 16, 0]]))
    taught = RoIPool("walkthrough")(features, torch.tensor([[0.0, 0, 0, 57 * 16, 16]]))
    assert (paper[0, 0, 0, -1], taught[0, 0, 0, -1]) == (57, 56)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
def test_without_rois_nothing_is_pooled(pooling):
    features = torch.rand(1, 4, 5, 5)
    assert RoIPool(pooling)(features, torch.zeros(0, 5)).shape == (0, 4, 7, 7)
    learning = RoIPool(pooling)(features.requires_grad_(), torch.zeros(0, 5))
    assert learning.shape == (0, 4, 7, 7)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
def test_gradient_in_double_precision(pooling):
    # Values far enough apart for gradcheck's step not to change a winner.
    values = torch.randperm(2 * 2 * 5 * 6, generator=torch.Generator().manual_seed(0))
    features = values.double().view(2, 2, 5, 6).requires_grad_()
    rois = torch.tensor(
        [[0, 0, 0, 70, 60], [1, 20, 10, 60, 50], [0, -90, -90, -50, -50], [1, 33, 33, 33, 33]]
    ).double()
    assert torch.autograd.gradcheck(lambda x: RoIPool(pooling, size=3)(x, rois), features)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_gradient_goes_where_the_reference_sends_it(pooling):
    rois = random_rois(20, 2, 9, 11)
    weights = torch.randn(20, 3, 7, 7, generator=torch.Generator().manual_seed(1)).double()
    gradients = []
    for pool in (RoIPool(pooling), torchvision_or_loop(pooling)):
        features = random_map(2, 3, 9, 11, dtype=torch.float64).requires_grad_()
        (pool(features, rois.double()) * weights).sum().backward()
        gradients.append(features.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def torchvision_or_loop(pooling: str):
    if pooling == "walkthrough":
        return walkthrough_roi_pool_reference
    return lambda features, rois: torchvision.ops.roi_pool(features, rois, 7, 1 / 16)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_argmax_names_the_winning_cell(pooling):
    features = random_map(2, 3, 9, 11)
    rois = torch.cat([random_rois(20, 2, 9, 11), torch.tensor(DEGENERATE)])
    pool = RoIPool(pooling)
    pooled, argmax = pool.argmax(features, rois)
    assert torch.equal(pooled, pool(features, rois))
    empty = argmax < 0
    maps = features[rois[:, 0].long()].flatten(2)
    won = maps.gather(2, argmax.clamp(min=0).flatten(2)).view_as(pooled)
    assert torch.equal(won.masked_fill(empty, 0), pooled)
    if pooling == "paper":
        _, expected = torch.ops.torchvision.roi_pool(features, rois, 1 / 16, 7, 7)
        assert torch.equal(argmax, expected.long())
        assert empty.any()
    else:
        assert not empty.any()


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_bins_are_the_cells_whose_maximum_is_pooled(pooling):
    features = random_map(1, 2, 9, 11)
    rois = torch.cat([random_rois(12, 1, 9, 11), torch.tensor(DEGENERATE) * torch.ones(5)])
    rois[:, 0] = 0
    pool = RoIPool(pooling)
    pooled = pool(features, rois)
    bins = pool.bins(rois[:, 1:], 9, 11)
    assert bins.shape == (len(rois), 7, 7, 4)
    for r in range(len(rois)):
        for row in range(7):
            for column in range(7):
                x1, y1, x2, y2 = bins[r, row, column].tolist()
                window = features[0, :, y1:y2, x1:x2].flatten(1)
                expected = window.amax(1) if window.numel() else torch.zeros(2)
                assert torch.equal(pooled[r, :, row, column], expected)
    assert torch.equal(pool.bins(rois[3, 1:], 9, 11), bins[3])


def test_bins_stay_on_the_device_of_the_boxes():
    # The device "meta" has shapes but no values, and refuses to mix with the processor's tensors.
    boxes = torch.zeros(3, 4, device="meta")
    for pooling in ("paper", "walkthrough"):
        assert RoIPool(pooling).bins(boxes, 9, 11).device.type == "meta"


def test_a_box_is_rounded_to_the_cells_of_each_kind():
    box = torch.tensor([24.0, 15.0, 72.0, 40.0])
    assert RoIPool("paper").cells(box, 9, 11).tolist() == [2, 1, 6, 4]
    assert RoIPool("walkthrough").cells(box, 9, 11).tolist() == [1, 0, 5, 3]
    align = RoIPool("align")
    with pytest.raises(ValueError, match=r"^RoIAlign samples .* maximum kinds have cells\.$"):
        align.cells(box, 9, 11)
    with pytest.raises(ValueError, match="samples between cells"):
        align.bins(box, 9, 11)
    with pytest.raises(ValueError, match="samples between cells"):
        align.argmax(torch.rand(1, 2, 9, 11), torch.zeros(0, 5))


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_keep_the_boxes_exact(pooling, dtype):
    features = random_map(1, 2, 60, 60).to(dtype)
    rois = torch.tensor([[0.0, 519, 519, 807, 937]])  # 519 is no bfloat16
    expected = RoIPool(pooling)(features.float(), rois).to(dtype)
    for learning in (False, True):
        pooled = RoIPool(pooling)(features.requires_grad_(learning), rois)
        assert pooled.dtype == dtype
        assert torch.equal(pooled, expected)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
def test_boxes_may_be_more_precise_than_the_map(pooling):
    features, rois = random_map(2, 3, 9, 11), random_rois(20, 2, 9, 11)
    for learning in (False, True):
        pooled = RoIPool(pooling)(features.requires_grad_(learning), rois.double())
        assert torch.equal(pooled, RoIPool(pooling)(features, rois))


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_argmax_of_a_half_precision_map_is_that_of_the_exact_one(pooling):
    features = random_map(1, 2, 60, 60).to(torch.bfloat16)
    rois = torch.tensor([[0.0, 519, 519, 807, 937]])  # 519 is no bfloat16
    pooled, argmax = RoIPool(pooling).argmax(features, rois)
    exact, expected = RoIPool(pooling).argmax(features.float(), rois)
    assert pooled.dtype == torch.bfloat16 and torch.equal(pooled.float(), exact)
    assert torch.equal(argmax, expected)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
@pytest.mark.parametrize("learning", [False, True])
def test_parts_make_up_the_whole(pooling, learning):
    features = random_map(2, 3, 9, 11).requires_grad_(learning)
    rois = random_rois(20, 2, 9, 11)
    pool = RoIPool(pooling)
    parts = list(pool.parts(features, rois, 8))
    assert [len(part) for part in parts] == [8, 8, 4]
    assert torch.equal(torch.cat(parts), pool(features, rois))
    assert parts[0].requires_grad == learning
    assert [len(part) for part in pool.parts(features, rois[:0], 8)] == [0]


def test_faster_than_the_loop():
    """By some 30 times on a quiet machine, in processor time; the slack is for a busy one."""
    features = random_map(1, 512, 25, 34)
    rois = random_rois(2000, 1, 25, 34)
    pool = RoIPool("walkthrough")

    def seconds(work) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    few = rois[:100]
    loop = min(seconds(lambda: walkthrough_roi_pool_reference(features, few)) for _ in range(2))
    ours = min(seconds(lambda: [*map(len, pool.parts(features, rois, 128))]) for _ in range(2))
    assert 6 * ours < 20 * loop


def test_unknown_kinds_and_wrong_rois_are_refused():
    with pytest.raises(RecipeError, match="'max'; there are paper, walkthrough, align"):
        RoIPool("max")
    features = torch.rand(2, 4, 5, 5)
    with pytest.raises(ValueError, match=r"\(R, 5\)"):
        RoIPool()(features, torch.zeros(3, 4))
    for index in (2, -1, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            RoIPool()(features, torch.tensor([[index, 0, 0, 9, 9]]))
