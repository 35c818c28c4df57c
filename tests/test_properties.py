"""What must hold for any input: boxes, targets, pooling, suppression, scores and proposals.

The examples are the same at every run, so that a failure is the change's and not the day's.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastrcnn import boxes as box_ops
from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.average_precision import average_precision, score_detections
from fastrcnn.evaluation.recall import proposal_recall
from fastrcnn.model.roi_pool import (
    RoIPool,
    roi_pool_reference,
    walkthrough_roi_pool_reference,
)
from fastrcnn.postprocess import decide, select
from fastrcnn.proposals import MODES, SelectiveSearch, selective_search
from fastrcnn.training import label_proposals

fixed = settings(derandomize=True, deadline=None, max_examples=60)
few = settings(fixed, max_examples=15)

coordinate = st.floats(-500, 1500, width=32)
extent = st.floats(0.25, 1500, width=32)
box = st.tuples(coordinate, coordinate, extent, extent).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
# Corners on a coarse grid: boxes that touch, coincide and contain each other are common.
grid_box = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
any_box = box | grid_box


def tensor(rows, dtype=torch.float64) -> torch.Tensor:
    return torch.tensor(rows, dtype=dtype).reshape(-1, 4)


def some(boxes, low=0, high=12):
    return st.lists(boxes, min_size=low, max_size=high)


# Boxes


@fixed
@given(proposals=some(any_box, 1), targets=some(any_box, 1))
def test_decode_is_the_inverse_of_encode_and_encode_of_decode(proposals, targets):
    count = min(len(proposals), len(targets))
    proposals, targets = tensor(proposals[:count]), tensor(targets[:count])
    deltas = box_ops.encode(proposals, targets)
    within = (deltas[:, 2:] < box_ops.MAX_LOG_SCALE).all(dim=1)
    proposals, targets, deltas = proposals[within], targets[within], deltas[within]
    decoded = box_ops.decode(proposals, deltas)
    torch.testing.assert_close(decoded, targets, rtol=1e-9, atol=1e-6)
    again = box_ops.encode(proposals, decoded)
    torch.testing.assert_close(again, deltas, rtol=1e-5, atol=1e-5)


@fixed
@given(rows=some(any_box, 1), scale=st.floats(0.1, 10), shift=st.floats(-100, 100))
def test_deltas_do_not_depend_on_where_or_how_large_the_picture_is(rows, scale, shift):
    boxes = tensor(rows)
    deltas = box_ops.encode(boxes, boxes.flip(0))
    moved = boxes * scale + shift
    torch.testing.assert_close(box_ops.encode(moved, moved.flip(0)), deltas, rtol=1e-6, atol=1e-6)


@fixed
@given(a=some(any_box), b=some(any_box))
def test_iou_is_a_share_the_same_both_ways_and_1_for_itself_alone(a, b):
    a, b = tensor(a), tensor(b)
    overlaps = box_ops.iou(a, b)
    assert ((overlaps >= 0) & (overlaps <= 1 + 1e-12)).all()
    assert torch.equal(overlaps, box_ops.iou(b, a).T)
    own = box_ops.iou(a, a)
    torch.testing.assert_close(own.diagonal(), torch.ones(len(a), dtype=torch.float64))
    different = (a[:, None] != a[None]).any(dim=2)
    # Boxes that differ by less than rounding are as good as the same.
    far = (a[:, None] - a[None]).abs().amax(dim=2) > 1e-3
    assert (own[different & far] < 1).all()
    assert overlaps.new_tensor([]).equal(box_ops.iou(a[:0], b).flatten())


@fixed
@given(rows=some(any_box, 1), height=st.integers(1, 999), width=st.integers(1, 999))
def test_clipping_once_is_enough_and_flipping_twice_is_nothing(rows, height, width):
    boxes = tensor(rows)
    clipped = box_ops.clip(boxes, height, width)
    assert (clipped >= 0).all()
    assert (clipped <= torch.tensor([width, height] * 2)).all()
    assert (clipped[:, :2] <= clipped[:, 2:]).all()
    assert torch.equal(box_ops.clip(clipped, height, width), clipped)
    twice = box_ops.flip_boxes(box_ops.flip_boxes(boxes, width), width)
    torch.testing.assert_close(twice, boxes)


# Targets


@fixed
@given(proposals=some(grid_box, 1), objects=some(grid_box, 0, 5), data=st.data())
def test_targets_are_foreground_background_or_neither_by_overlap(proposals, objects, data):
    classes = data.draw(st.lists(st.integers(1, 9), min_size=len(objects), max_size=len(objects)))
    proposals, objects = tensor(proposals), tensor(objects)
    targets = label_proposals(proposals, objects, torch.tensor(classes, dtype=torch.int64))
    best = torch.zeros(len(proposals), dtype=torch.float64)
    if len(objects):
        best = box_ops.iou(proposals, objects).amax(dim=1)
    torch.testing.assert_close(targets.overlaps.double(), best)
    assert torch.equal(targets.labels > 0, targets.overlaps >= 0.5)
    lowest = 0.1 if len(objects) else 0  # a picture without objects is all background
    assert torch.equal(targets.labels == 0, (best >= lowest) & (best < 0.5))
    assert targets.deltas[targets.labels <= 0].eq(0).all()
    assert set(targets.labels[targets.labels > 0].tolist()) <= set(classes)
    # Each foreground proposal is sent to an object of its class, which decoding arrives at.
    for index in (targets.labels > 0).nonzero().flatten().tolist():
        arrived = box_ops.decode(proposals[[index]], targets.deltas[[index]])
        own = objects[torch.tensor(classes) == targets.labels[index]]
        assert (arrived - own).abs().amax(dim=1).min() < 1e-6


# RoI pooling


@fixed
@given(
    form=st.sampled_from(["paper", "walkthrough"]),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    rows=some(any_box, 1, 4),
    seed=st.integers(0, 99),
)
def test_a_pooled_value_is_the_largest_of_its_window_and_the_slow_references(
    form, height, width, rows, seed
):
    features = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) - 0.5
    boxes = tensor(rows, torch.float32)
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)
    pool = RoIPool(form)
    pooled = pool(features, rois)
    slow = {"paper": roi_pool_reference, "walkthrough": walkthrough_roi_pool_reference}[form]
    assert torch.equal(pooled, slow(features, rois))
    for roi, bins in enumerate(pool.bins(boxes, height, width)):
        for row in range(7):
            for column in range(7):
                x1, y1, x2, y2 = bins[row, column].tolist()
                assert 0 <= x1 <= width and 0 <= y1 <= height and x2 <= width and y2 <= height
                window = features[0, :, y1:y2, x1:x2].flatten(1)
                value = pooled[roi, :, row, column]
                if window.shape[1] == 0:
                    assert value.eq(0).all()
                    continue
                assert (value[:, None] >= window).all()
                assert (value[:, None] == window).any(dim=1).all()


@fixed
@given(rows=some(any_box, 1, 6), order=st.randoms(use_true_random=False))
def test_each_roi_is_pooled_by_itself(rows, order):
    features = torch.rand(1, 2, 9, 11, generator=torch.Generator().manual_seed(0))
    boxes = tensor(rows, torch.float32)
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    for form in ("paper", "walkthrough", "align"):
        pooled = RoIPool(form)(features, rois)
        assert torch.equal(RoIPool(form)(features, rois[shuffled]), pooled[shuffled])


# Non-maximum suppression


@st.composite
def candidates(draw):
    """Boxes with two classes' regressed copies, and probabilities no two of which are the same."""
    rows = draw(some(grid_box, 1, 14))
    boxes = tensor(rows, torch.float32)
    places = draw(st.permutations(range(2 * len(rows))))
    scores = (torch.tensor(places).reshape(-1, 2) + 1) / (4 * len(rows) + 2)
    probabilities = torch.cat([1 - scores.sum(dim=1, keepdim=True), scores], dim=1)
    return probabilities, boxes[:, None].expand(-1, 3, -1)


def as_set(found: Detections) -> set[tuple]:
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return {(label, score, *corners) for label, score, corners in rows}


@fixed
@given(made=candidates(), nms=st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.9, 1.0]), data=st.data())
def test_suppression_does_not_depend_on_the_order_and_once_is_enough(made, nms, data):
    probabilities, regressed = made
    found = select(probabilities, regressed, ("cat", "dog"), 0.1, nms)
    order = data.draw(st.permutations(range(len(probabilities))))
    shuffled = select(probabilities[order], regressed[order], ("cat", "dog"), 0.1, nms)
    assert as_set(shuffled) == as_set(found)

    for label in (1, 2):
        chosen = found.labels == label
        boxes = torch.from_numpy(found.boxes[chosen])
        # What is left overlaps too little, so that a second time nothing goes.
        overlaps = box_ops.iou(boxes, boxes).fill_diagonal_(0)
        assert (overlaps.double() <= nms + 1e-6).all()
        scores = torch.zeros(len(boxes), 3)
        scores[:, label] = torch.from_numpy(found.scores[chosen])
        again = select(scores, boxes[:, None].expand(-1, 3, -1), ("cat", "dog"), 0.1, nms)
        assert as_set(again) == {row for row in as_set(found) if row[0] == label}
    best = probabilities[:, 1:].amax(dim=0)
    for label in (1, 2):
        if best[label - 1] >= 0.1:  # the best of a class is always kept
            assert best[label - 1].item() in found.scores[found.labels == label].tolist()


@fixed
@given(made=candidates(), nms=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_every_decision_has_its_reason(made, nms):
    probabilities, regressed = made
    found = select(probabilities, regressed, ("cat", "dog"), 0.1, nms)
    decisions = decide(probabilities, regressed, 0.1, nms)
    kept = {
        (label, score, *corners)
        for label, score, corners, keep in zip(
            decisions.labels.tolist(),
            decisions.scores.tolist(),
            decisions.boxes.tolist(),
            decisions.kept.tolist(),
            strict=True,
        )
        if keep
    }
    assert kept == as_set(found)
    dropped = (~decisions.kept).nonzero().flatten()
    winners = decisions.suppressed_by[dropped]
    assert (winners >= 0).all() and decisions.kept[winners].all()
    assert torch.equal(decisions.labels[winners], decisions.labels[dropped])
    assert (decisions.scores[winners] > decisions.scores[dropped]).all()
    assert (decisions.overlaps[dropped].double() > nms).all()


# Average precision and recall


def annotation(image_id: str, objects) -> Annotation:
    return Annotation(
        image_id=image_id,
        path=Path(f"{image_id}.jpg"),
        width=20,
        height=20,
        boxes=np.array([item[0] for item in objects], np.float32).reshape(-1, 4),
        labels=np.array([item[1] for item in objects], np.int64),
        difficult=np.array([item[2] for item in objects], bool),
    )


def detections(items) -> Detections:
    items = sorted(items, key=lambda item: -item[2])
    return Detections(
        boxes=np.array([item[0] for item in items], np.float32).reshape(-1, 4),
        labels=np.array([item[1] for item in items], np.int64),
        scores=np.array([item[2] for item in items], np.float32),
        classes=("cat", "dog"),
    )


label = st.integers(1, 2)
truths = st.lists(st.tuples(grid_box, label, st.booleans()), max_size=5)
answers = st.lists(st.tuples(grid_box, label, st.floats(0, 1)), max_size=8)


def means(evaluation) -> list[float]:
    return [evaluation.map_area, evaluation.map_11point, evaluation.map_coco]


@fixed
@given(pictures=st.lists(st.tuples(truths, answers), min_size=1, max_size=3))
def test_average_precision_is_a_share(pictures):
    dataset = Dataset(
        "any", ("cat", "dog"), tuple(annotation(str(i), t) for i, (t, _) in enumerate(pictures))
    )
    found = {str(i): detections(items) for i, (_, items) in enumerate(pictures)}
    result = score_detections(found, dataset)
    for value in [*means(result), *result.ap.values()]:
        assert math.isnan(value) or 0 <= value <= 1 + 1e-12


@fixed
@given(pictures=st.lists(truths, min_size=1, max_size=3), data=st.data())
def test_perfect_detections_score_1_and_a_wrong_one_at_the_top_costs(pictures, data):
    # Two objects of one class that coincide cannot both be found by what each is nearest to.
    for objects in pictures:
        assume(len({item[:2] for item in objects}) == len(objects))
    dataset = Dataset(
        "any", ("cat", "dog"), tuple(annotation(str(i), t) for i, t in enumerate(pictures))
    )
    assume(any(not item.difficult.all() for item in dataset))
    score = st.floats(0.1, 0.9)
    items = {
        str(i): [(corners, kind, data.draw(score)) for corners, kind, _ in objects]
        for i, objects in enumerate(pictures)
    }
    perfect = score_detections({key: detections(value) for key, value in items.items()}, dataset)
    assert means(perfect) == [1, 1, 1]
    for kind in (1, 2):
        items["0"].append(((100, 100, 110, 110), kind, 1.0))
    worse = score_detections({key: detections(value) for key, value in items.items()}, dataset)
    assert all(value < 1 for value in means(worse))


@fixed
@given(found=st.lists(st.booleans(), min_size=1, max_size=30), missed=st.integers(0, 5))
def test_average_precision_grows_when_a_wrong_detection_becomes_right(found, missed):
    def both(hits) -> list[float]:
        right = np.cumsum(hits)
        recall = right / (len(found) + missed)
        precision = right / np.arange(1, len(hits) + 1)
        return [average_precision(recall, precision, eleven) for eleven in (True, False)]

    before = both(np.array(found))
    assert all(0 <= value <= 1 for value in before)
    for place in range(len(found)):
        if not found[place]:
            better = np.array(found)
            better[place] = True
            after = both(better)
            assert all(b >= a - 1e-12 for a, b in zip(before, after, strict=True))


@fixed
@given(objects=some(grid_box, 1, 6), boxes=some(grid_box, 1, 20), iou=st.floats(0.05, 1))
def test_recall_never_falls_with_more_boxes_nor_rises_with_the_threshold(objects, boxes, iou):
    truth = annotation("1", [(corners, 1, False) for corners in objects])
    boxes = np.array(boxes, np.float32)
    by_count = [
        proposal_recall([boxes], [truth], iou=iou, limit=limit)
        for limit in range(1, len(boxes) + 1)
    ]
    for fewer, more in pairwise(by_count):
        assert more.recall >= fewer.recall
        assert more.mean_best_overlap >= fewer.mean_best_overlap
    assert all(0 <= quality.recall <= 1 for quality in by_count)
    stricter = proposal_recall([boxes], [truth], iou=min(iou * 1.2, 1), limit=len(boxes))
    assert stricter.recall <= by_count[-1].recall
    all_of_them = proposal_recall([np.array(objects, np.float32)], [truth], iou=iou)
    assert all_of_them.recall == all_of_them.mean_best_overlap == 1


# Selective search


@st.composite
def pictures(draw):
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    image = np.full((height, width, 3), random.integers(256), np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        y1, y2 = sorted(random.integers(0, height + 1, 2))
        x1, x2 = sorted(random.integers(0, width + 1, 2))
        image[y1:y2, x1:x2] = random.integers(0, 256, 3)
    return image + random.integers(0, draw(st.sampled_from([1, 8, 40])), image.shape, np.uint8)


@few
@given(image=pictures(), mode=st.sampled_from(["single", "fast"]))
def test_proposals_are_different_boxes_within_the_picture_and_the_same_each_time(image, mode):
    found = selective_search(image, mode)
    height, width = image.shape[:2]
    assert len(found) >= 1
    assert len(np.unique(found.boxes, axis=0)) == len(found)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    assert (sides >= min(MODES[mode].min_side, sides.min(axis=1).max())).all()
    again = selective_search(image, mode)
    assert np.array_equal(again.boxes, found.boxes)
    assert np.array_equal(again.sources, found.sources)


@few
@given(
    image=pictures(),
    strategy=st.sets(st.sampled_from("CTSF"), min_size=1).map(lambda s: "".join(sorted(s))),
)
def test_a_hierarchy_is_a_tree_whose_regions_are_their_parts(image, strategy):
    (tree,) = selective_search(
        image, SelectiveSearch(colour_spaces=("Lab",), thresholds=(20,), strategies=(strategy,))
    ).hierarchies
    height, width = image.shape[:2]
    count = int(tree.labels.max()) + 1
    assert len(tree.merges) == count - 1 and len(tree.boxes) == len(tree.sizes) == 2 * count - 1
    # Every region but the last is merged exactly once.
    assert sorted(tree.merges.flatten().tolist()) == list(range(2 * count - 2))
    assert tree.sizes[-1] == height * width
    assert tree.boxes[-1].tolist() == [0, 0, width, height]
    for new, (a, b) in enumerate(tree.merges, start=count):
        assert a < new and b < new
        assert tree.sizes[new] == tree.sizes[a] + tree.sizes[b]
        low = np.minimum(tree.boxes[a], tree.boxes[b])[:2]
        high = np.maximum(tree.boxes[a], tree.boxes[b])[2:]
        assert np.array_equal(tree.boxes[new], [*low, *high])
    assert ((tree.similarities >= -1e-5) & (tree.similarities <= 1 + 1e-5)).all()
