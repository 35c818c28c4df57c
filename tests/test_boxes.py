import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.boxes import MAX_LOG_SCALE, clip, decode, encode, flip_boxes, iou, vote

coordinate = st.integers(min_value=0, max_value=400).map(lambda value: value / 4)
length = st.integers(min_value=1, max_value=400).map(lambda value: value / 4)
box = st.tuples(coordinate, coordinate, length, length).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
boxes = st.lists(box, min_size=0, max_size=6).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)
)


def slow_iou(a, b):
    """Counts quarter-pixel cells, which every box above is made of."""
    masks = np.zeros((2, 800, 800), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, (a, b), strict=True):
        mask[int(y1 * 4) : int(y2 * 4), int(x1 * 4) : int(x2 * 4)] = True
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0.0, 4.0, 2.0], [10.0, 10.0, 12.0, 12.0]])
    b = torch.tensor([[0.0, 0.0, 4.0, 2.0], [2.0, 0.0, 6.0, 2.0], [4.0, 0.0, 8.0, 2.0]])
    torch.testing.assert_close(iou(a, b), torch.tensor([[1.0, 1 / 3, 0.0], [0.0, 0.0, 0.0]]))


@settings(max_examples=25, deadline=None)
@given(a=boxes, b=boxes)
def test_iou_is_what_counting_cells_gives(a, b):
    overlaps = iou(a, b)
    assert overlaps.shape == (len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            assert overlaps[i, j].item() == pytest.approx(slow_iou(a[i].tolist(), b[j].tolist()))


def test_iou_is_the_same_in_any_unit():
    a, b = torch.tensor([[0.0, 0.0, 4.0, 2.0]]), torch.tensor([[2.0, 0.0, 6.0, 2.0]])
    torch.testing.assert_close(iou(a / 1000, b / 1000), torch.tensor([[1 / 3]]))


def test_iou_of_boxes_without_area_is_zero():
    flat = torch.tensor([[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 9.0, 5.0], [9.0, 9.0, 5.0, 5.0]])
    others = torch.cat([flat, torch.tensor([[0.0, 0.0, 10.0, 10.0]])])
    assert iou(flat, others).eq(0).all()


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(box, box), max_size=5))
def test_decode_undoes_encode(pairs):
    proposals, targets = (
        torch.tensor([pair[side] for pair in pairs], dtype=torch.float64).reshape(-1, 4)
        for side in (0, 1)
    )
    # Growth beyond the limit is held back on purpose, see below.
    growth = (targets[:, 2:] - targets[:, :2]) / (proposals[:, 2:] - proposals[:, :2])
    keep = growth.amax(dim=1) < math.exp(MAX_LOG_SCALE) if len(pairs) else torch.empty(0).bool()
    proposals, targets = proposals[keep], targets[keep]
    torch.testing.assert_close(decode(proposals, encode(proposals, targets)), targets)


def test_encode_by_hand():
    proposals = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # centre 20, 40; 20 wide, 40 high
    targets = torch.tensor([[20.0, 30.0, 60.0, 50.0]])  # centre 40, 40; 40 wide, 20 high
    expected = torch.tensor([[1.0, 0.0, math.log(2), math.log(0.5)]])
    torch.testing.assert_close(encode(proposals, targets), expected)


def test_decode_moves_each_class_by_its_own_deltas():
    proposals = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 5.0, 6.0, 6.0]])
    deltas = torch.zeros(2, 3, 4)
    deltas[0, 1] = torch.tensor([0.5, -0.25, math.log(2), 0.0])
    decoded = decode(proposals, deltas)
    assert decoded.shape == (2, 3, 4)
    torch.testing.assert_close(decoded[0, 1], torch.tensor([0.0, -5.0, 20.0, 15.0]))
    for row, column in ((0, 0), (0, 2), (1, 0), (1, 1), (1, 2)):
        torch.testing.assert_close(decoded[row, column], proposals[row])


def test_decode_holds_back_wild_growth():
    wild = decode(torch.tensor([[0.0, 0.0, 16.0, 16.0]]), torch.tensor([[0.0, 0.0, 1e4, 1e4]]))
    torch.testing.assert_close(wild, torch.tensor([[-492.0, -492.0, 508.0, 508.0]]))


def test_clip_puts_a_box_that_lies_outside_onto_the_nearest_edge():
    outside = torch.tensor([[-9.0, -8.0, -5.0, -4.0], [120.0, 60.0, 130.0, 70.0]])
    expected = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 50.0, 100.0, 50.0]])
    assert torch.equal(clip(outside, height=50, width=100), expected)


def test_clip_cuts_to_the_picture():
    beyond = [[-5.0, -1.0, 200.0, 300.0]], [[-9.0, -9.0, -3.0, -3.0]], [[110.0, 60.0, 120.0, 70.0]]
    outside = torch.tensor([*beyond, [[3.0, 4.0, 5.0, 6.0]]])
    cut = [[0.0, 0.0, 100.0, 50.0]], [[0.0, 0.0, 0.0, 0.0]], [[100.0, 50.0, 100.0, 50.0]]
    expected = torch.tensor([*cut, [[3.0, 4.0, 5.0, 6.0]]])
    assert torch.equal(clip(outside, height=50, width=100), expected)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_flipped_boxes_hold_the_same_pixels_of_the_mirror_image(kind):
    picture = np.arange(6 * 10).reshape(6, 10)
    original = kind([[1.0, 2.0, 4.0, 5.0], [0.0, 0.0, 10.0, 6.0]])
    flipped = flip_boxes(original, width=10)
    for before, after in zip(original.tolist(), flipped.tolist(), strict=True):
        x1, y1, x2, y2 = map(int, before)
        left, top, right, bottom = map(int, after)
        mirrored = picture[:, ::-1][top:bottom, left:right]
        assert np.array_equal(mirrored, picture[y1:y2, x1:x2][:, ::-1])
    assert original.tolist()[0] == [1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_no_boxes_are_fine(dtype):
    some, none = torch.tensor([[1, 2, 3, 4]], dtype=dtype), torch.empty(0, 4, dtype=dtype)
    assert iou(some, none).shape == (1, 0)
    assert iou(none, some).shape == (0, 1)
    for boxes in (some, none):
        deltas = torch.zeros(len(boxes), 3, 4, dtype=dtype)
        for result in (
            iou(boxes, boxes),
            encode(boxes, boxes),
            decode(boxes, deltas),
            clip(boxes, 9, 9),
            flip_boxes(boxes, 9),
        ):
            assert result.dtype == dtype
            assert len(result) == len(boxes)


def test_a_vote_worked_by_hand():
    kept = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [2, 0, 12, 10], [7, 0, 17, 10]])
    # IoU with the first: 1, 0.5, 2/3, and 0.18, which is too little for a say.
    voted, votes = vote(kept, boxes, torch.tensor([0.6, 0.3, 0.1, 0.9]), 0.5)
    expected = [0.2, 0, 10.2, 0.6 * 10 + 0.3 * 5 + 0.1 * 10]
    torch.testing.assert_close(voted[0], torch.tensor(expected))
    assert voted[1].tolist() == kept[1].tolist()  # nobody is near
    assert votes.tolist() == [3, 0]


@given(kept=boxes, voters=boxes, least=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_a_vote_moves_a_box_no_further_than_its_voters(kept, voters, least):
    weights = torch.linspace(0, 1, len(voters), dtype=kept.dtype)
    voted, votes = vote(kept, voters, weights, least)
    overlaps = iou(kept, voters)
    for i, box in enumerate(kept):
        near = [j for j in range(len(voters)) if overlaps[i, j] >= least and weights[j] > 0]
        assert votes[i] == len(near)
        if near:
            assert (voted[i] >= voters[near].amin(dim=0) - 1e-4).all()
            assert (voted[i] <= voters[near].amax(dim=0) + 1e-4).all()
        else:
            assert torch.equal(voted[i], box)


@given(st.integers(0, 2**32 - 1))
def test_voters_at_one_place_leave_a_box_exactly_there(seed):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 100, (3, 2))
    kept = torch.from_numpy(np.hstack([corner, corner + random.uniform(1, 9, (3, 2))])).float()
    for box in kept:
        voters = box.expand(200, 4)
        weights = torch.from_numpy(random.uniform(0, 1, 200)).float()
        assert torch.equal(vote(box[None], voters, weights, 0.5)[0][0], box)


def test_without_boxes_nobody_votes():
    none = torch.zeros(0, 4)
    assert vote(none, torch.ones(2, 4), torch.ones(2), 0.5)[0].shape == (0, 4)
    voted, votes = vote(torch.tensor([[0.0, 0, 1, 1]]), none, torch.zeros(0), 0.5)
    assert (voted.tolist(), votes.tolist()) == ([[0, 0, 1, 1]], [0])
    assert votes.dtype == torch.int64
