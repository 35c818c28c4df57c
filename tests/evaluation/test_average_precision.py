import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.errors import DataError, ImageError
from fastrcnn.evaluation.average_precision import (
    average_precision,
    evaluate,
    load_detections,
    match,
    score_detections,
)

CLASSES = ("cat", "dog")
NO_BOXES = np.empty((0, 4), np.float32)


def annotation(image_id, *objects, path=None):
    """objects: (box, label) or (box, label, difficult)."""
    return Annotation(
        image_id=image_id,
        path=path or Path(f"{image_id}.jpg"),
        width=100,
        height=100,
        boxes=np.array([item[0] for item in objects], np.float32).reshape(-1, 4),
        labels=np.array([item[1] for item in objects], np.int64),
        difficult=np.array([len(item) > 2 and item[2] for item in objects], bool),
    )


def found(*items, classes=CLASSES):
    """items: (box, label, score), any order."""
    items = sorted(items, key=lambda item: -item[2])
    return Detections(
        boxes=np.array([item[0] for item in items], np.float32).reshape(-1, 4),
        scores=np.array([item[2] for item in items], np.float32),
        labels=np.array([item[1] for item in items], np.int64),
        classes=classes,
    )


def dataset(*annotations):
    return Dataset("a small set", CLASSES, annotations)


A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 90, 90]


def shifted(box, by):
    return [box[0] + by, box[1], box[2] + by, box[3]]


# The area and the eleven points of a curve


def test_average_precision_by_hand():
    # Right, wrong, right, wrong, right of four objects.
    recall = np.array([0.25, 0.25, 0.5, 0.5, 0.75])
    precision = np.array([1, 1 / 2, 2 / 3, 2 / 4, 3 / 5])
    area = 0.25 * 1 + 0.25 * 2 / 3 + 0.25 * 3 / 5
    assert average_precision(recall, precision, eleven_point=False) == pytest.approx(area)
    # Recalls 0, 0.1, 0.2 reach 1; 0.3, 0.4, 0.5 reach 2/3; 0.6, 0.7 reach 3/5; the rest nothing.
    points = (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11
    assert average_precision(recall, precision, eleven_point=True) == pytest.approx(points)


def test_a_recall_of_exactly_three_tenths_is_reached():
    # 3 * 0.1 is more than 0.3 in floating point; 3 of 10 objects must still count.
    recall, precision = np.array([3 / 10]), np.array([1.0])
    assert average_precision(recall, precision, eleven_point=True) == pytest.approx(4 / 11)


@pytest.mark.parametrize("eleven_point", [True, False])
def test_the_ends_of_average_precision(eleven_point):
    assert average_precision(np.array([]), np.array([]), eleven_point) == 0
    assert average_precision(np.array([0.0, 0.0]), np.array([0.0, 0.0]), eleven_point) == 0
    assert average_precision(np.array([0.5, 1.0]), np.array([1.0, 1.0]), eleven_point) == 1


# Which detections are right


def test_scores_by_hand():
    truth = dataset(
        annotation("1", (A, 1), (B, 2)), annotation("2", (A, 1), (C, 1)), annotation("3")
    )
    detections = {
        "1": found((A, 1, 0.9), (A, 2, 0.8), (B, 2, 0.7)),
        "2": found((A, 1, 0.6), (shifted(A, 1), 1, 0.95)),
        "3": found((B, 1, 0.99)),
    }
    result = score_detections(detections, truth)
    # Cats: wrong, right, right, wrong (found before) of three; dogs: wrong, right of one.
    assert result.images == 3
    assert result.ap["cat"] == pytest.approx(2 / 3 * 2 / 3)
    assert result.ap["dog"] == pytest.approx(1 / 2)
    assert result.map_area == pytest.approx((4 / 9 + 1 / 2) / 2)
    assert result.map_11point == pytest.approx((7 * 2 / 3 / 11 + 1 / 2) / 2)
    assert result.seconds_per_image is None


def test_overlap_of_exactly_the_threshold_counts():
    truth = dataset(annotation("1", ([0, 0, 10, 10], 1)))
    half = {"1": found(([0, 0, 10, 5], 1, 0.9))}
    assert score_detections(half, truth).ap["cat"] == 1
    less = {"1": found(([0, 0, 10, 4.9], 1, 0.9))}
    assert score_detections(less, truth).ap["cat"] == 0
    # IoU 0.6 reaches 0.5, 0.55 and 0.6: three of ten thresholds.
    three = {"1": found(([0, 0, 10, 6], 1, 0.9))}
    assert score_detections(three, truth).map_coco == pytest.approx(0.3)
    assert score_detections(three, truth, iou=0.6).map_area == 1
    assert score_detections(three, truth, iou=0.61).map_area == 0


def test_each_detection_is_judged_by_the_object_that_it_overlaps_most():
    truth = dataset(annotation("1", (A, 1), (C, 1, True)))
    answers = found((A, 1, 0.9), (A, 1, 0.8), (C, 1, 0.7), (B, 1, 0.6))
    right, ignored = match({"1": answers}, truth, 1).judged(0.5)
    assert right.dtype == ignored.dtype == bool
    assert right.tolist() == [True, False, False, False]
    assert ignored.tolist() == [False, False, True, False]


def test_matches_name_picture_row_and_object_of_each_detection():
    truth = dataset(
        annotation("1", (A, 1), (B, 2)), annotation("2"), annotation("3", (A, 1), (C, 1))
    )
    detections = {
        "1": found((A, 1, 0.5), (A, 2, 0.4)),
        "2": found((A, 1, 0.9)),
        "3": found((A, 2, 0.95), (C, 1, 0.7), (A, 1, 0.6)),
    }
    matches = match(detections, truth, 1)
    assert matches.image.tolist() == [1, 2, 2, 0]
    assert matches.row.tolist() == [0, 1, 2, 0]
    assert matches.overlap.tolist() == [0, 1, 1, 1]
    # The cats have the numbers 0, 1 and 2. Nothing in the second picture can be an object.
    assert matches.truth[1:].tolist() == [2, 1, 0]
    assert matches.truth.dtype == np.int64
    assert matches.positives == 3


def test_a_second_detection_is_wrong_even_next_to_an_unfound_object():
    # Both belong to the left object by their overlap, as the challenge sees it.
    left, right = [0, 0, 10, 10], [2, 0, 12, 10]
    truth = dataset(annotation("1", (left, 1), (right, 1)))
    twice = {"1": found((left, 1, 0.9), ([0.5, 0, 10.5, 10], 1, 0.8))}
    assert score_detections(twice, truth).ap["cat"] == pytest.approx(0.5)


def test_difficult_objects_neither_help_nor_hurt():
    truth = dataset(annotation("1", (A, 1), (C, 1, True)))
    for extra in ([], [(C, 1, 0.95)], [(C, 1, 0.95), (C, 1, 0.94), (shifted(C, 1), 1, 0.2)]):
        detections = {"1": found((A, 1, 0.9), *extra)}
        assert score_detections(detections, truth).ap["cat"] == 1
    missed = {"1": found((C, 1, 0.9))}
    assert score_detections(missed, truth).ap["cat"] == 0


@pytest.mark.filterwarnings("error")
def test_classes_without_an_object_are_left_out_of_the_mean():
    truth = dataset(annotation("1", (A, 1), (B, 2, True)))
    result = score_detections({"1": found((A, 1, 0.9), (C, 2, 0.9))}, truth)
    assert math.isnan(result.ap["dog"])
    assert result.map_area == result.map_11point == result.map_coco == result.ap["cat"] == 1
    empty = score_detections({"1": found()}, dataset(annotation("1")))
    assert json.loads(json.dumps(empty.to_json_dict(), allow_nan=False)) == {
        "images": 1,
        "map_area": None,
        "map_11point": None,
        "map_coco": None,
        "ap": {"cat": None, "dog": None},
        "seconds_per_image": None,
    }


def test_equal_scores_keep_their_order():
    truth = dataset(annotation("1", (A, 1)), annotation("2"))
    same = {"1": found((A, 1, 0.5)), "2": found((A, 1, 0.5))}
    assert score_detections(same, truth).ap["cat"] == 1
    assert score_detections(same, Dataset("turned", CLASSES, truth.annotations[::-1])).ap[
        "cat"
    ] == pytest.approx(0.5)


def test_equal_scores_of_many_pictures_keep_their_order():
    names = [str(number) for number in range(40)]
    detections = {name: found((A, 1, (0.6, 0.5)[int(name) % 2])) for name in names}
    matches = match(detections, dataset(*map(annotation, names)), 1)
    assert matches.image.tolist() == [*range(0, 40, 2), *range(1, 40, 2)]


def test_detections_must_fit_the_data_set():
    truth = dataset(annotation("1", (A, 1)), annotation("2"))
    with pytest.raises(DataError, match="1 of the 2 pictures, such as 2"):
        score_detections({"1": found()}, truth)
    with pytest.raises(DataError, match="the classes dog, cat, but a small set has cat, dog;"):
        score_detections({"1": found(), "2": found(classes=("dog", "cat"))}, truth)
    extra = {name: found((A, 1, 0.5)) for name in "1234"}
    assert score_detections(extra, truth).images == 2


# The same, worked out one detection after another


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_average_precision(truth, detections, label, threshold):
    """(area, eleven points), straight from the challenge's rules."""
    ranked = sorted(
        (
            (float(score), order, item.image_id, box.tolist())
            for order, item in enumerate(truth)
            for box, score, number in zip(
                detections[item.image_id].boxes,
                detections[item.image_id].scores,
                detections[item.image_id].labels,
                strict=True,
            )
            if number == label
        ),
        key=lambda row: (-row[0], row[1]),
    )
    objects = {
        item.image_id: [
            {"box": box.tolist(), "difficult": bool(difficult), "found": False}
            for box, number, difficult in zip(item.boxes, item.labels, item.difficult, strict=True)
            if number == label
        ]
        for item in truth
    }
    total = sum(not item["difficult"] for items in objects.values() for item in items)
    if total == 0:
        return math.nan, math.nan
    right = wrong = 0
    curve = []
    for _, _, image_id, box in ranked:
        best, best_iou = None, -1.0
        for item in objects[image_id]:
            if slow_iou(box, item["box"]) > best_iou:
                best, best_iou = item, slow_iou(box, item["box"])
        if best is not None and best_iou >= threshold:
            if best["difficult"]:
                continue
            if best["found"]:
                wrong += 1
            else:
                best["found"] = True
                right += 1
        else:
            wrong += 1
        curve.append((right, right / (right + wrong)))
    # The area one object at a time: each step of 1 / total is as high as the best point from it on.
    area = sum(
        max((precision for count, precision in curve if count >= step), default=0) / total
        for step in range(1, total + 1)
    )
    points = sum(
        max((precision for count, precision in curve if 10 * count >= step * total), default=0)
        for step in range(11)
    )
    return area, points / 11


corner = st.integers(0, 12).map(float)
side = st.integers(1, 8).map(float)
boxes = st.tuples(corner, corner, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
labels = st.integers(1, 2)
objects = st.lists(st.tuples(boxes, labels, st.booleans()), max_size=5)
answers = st.lists(st.tuples(boxes, labels, st.integers(1, 9).map(lambda s: s / 10)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(pictures=st.lists(st.tuples(objects, answers), min_size=1, max_size=4))
def test_scores_agree_with_the_rules_one_by_one(pictures):
    truth = dataset(*(annotation(str(i), *items) for i, (items, _) in enumerate(pictures)))
    detections = {str(i): found(*items) for i, (_, items) in enumerate(pictures)}
    result = score_detections(detections, truth)
    slow = {
        threshold: [slow_average_precision(truth, detections, label, threshold) for label in (1, 2)]
        for threshold in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    }
    counted = [index for index in (0, 1) if not math.isnan(slow[0.5][index][0])]

    def mean(values):
        values = [value for value in values if not math.isnan(value)]
        return sum(values) / len(values) if values else math.nan

    def same(value):
        return pytest.approx(value, abs=1e-9, nan_ok=True)

    assert list(result.ap.values()) == same([area for area, _ in slow[0.5]])
    assert result.map_area == same(mean(area for area, _ in slow[0.5]))
    assert result.map_11point == same(mean(points for _, points in slow[0.5]))
    if counted:
        by_threshold = [mean(slow[value][index][0] for index in counted) for value in slow]
        assert result.map_coco == same(mean(by_threshold))


# Running a detector


@pytest.fixture
def pictures(tmp_path):
    """Three pictures, each of one grey level that a detector can tell them by."""
    items = []
    for level in (10, 20, 30):
        path = tmp_path / f"{level}.png"
        Image.new("L", (100, 100), level).save(path)
        items.append(annotation(f"id{level}", (A, 1), path=path))
    return dataset(*items)


def level_detector(image):
    level = int(image[0, 0, 0])
    return found((A, 1, level / 100)) if level > 10 else found()


def test_evaluate_runs_the_detector_on_every_picture(pictures):
    seen = []

    def progress(items):
        for item in items:
            seen.append(item.image_id)
            yield item

    evaluation, detections = evaluate(partial(map, level_detector), pictures, progress)
    assert seen == list(detections) == ["id10", "id20", "id30"]
    assert [len(item) for item in detections.values()] == [0, 1, 1]
    assert evaluation.images == 3
    assert evaluation.ap["cat"] == pytest.approx(2 / 3)
    saved = json.loads(json.dumps(evaluation.to_json_dict()))
    assert saved == vars(evaluation) | {"ap": {"cat": evaluation.ap["cat"], "dog": None}}


def test_the_seconds_are_shared_out_among_the_pictures(pictures, monkeypatch):
    clock = iter([100.0, 106.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    evaluation, _ = evaluate(partial(map, level_detector), pictures)
    assert evaluation.seconds_per_image == 2.0


def test_evaluate_stops_at_other_classes_and_broken_pictures(pictures):
    with pytest.raises(DataError, match="the classes duck"):
        evaluate(partial(map, lambda image: found(classes=("duck",))), pictures)
    pictures[1].path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"20\.png"):
        evaluate(partial(map, level_detector), pictures)


# Saved detections


def record(image, *items, width=100, height=100):
    return {
        "image": image,
        "width": width,
        "height": height,
        "detections": found(*items).to_list(),
        "seconds": {"proposals": 1.0},
    }


def save(tmp_path, records):
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(records))
    return path


def test_saved_detections_score_as_they_did(tmp_path, pictures):
    evaluation, detections = evaluate(partial(map, level_detector), pictures)
    records = [
        record(f"elsewhere/{item.path.stem}.jpg") | {"detections": detections[image_id].to_list()}
        for image_id, item in zip(detections, pictures, strict=True)
    ]
    records.append(record("unknown.jpg"))
    loaded = load_detections(save(tmp_path, records[::-1]), pictures)
    again = score_detections(loaded, pictures)
    assert again.ap == evaluation.ap
    for image_id, item in detections.items():
        assert np.array_equal(loaded[image_id].boxes, item.boxes)
        assert loaded[image_id].boxes.dtype == loaded[image_id].scores.dtype == np.float32
        assert loaded[image_id].labels.dtype == np.int64


def test_saved_detections_are_put_best_first(tmp_path, pictures):
    saved = record("10.png")
    saved["detections"] = [
        {"label": name, "score": score, "box": box}
        for name, score, box in (("cat", 0.2, A), ("dog", 0.9, B), ("cat", 0.5, C))
    ]
    loaded = load_detections(save(tmp_path, [saved]), pictures)["id10"]
    assert loaded.scores.tolist() == pytest.approx([0.9, 0.5, 0.2])
    assert loaded.names == ["dog", "cat", "cat"]
    assert loaded.boxes.tolist() == [B, C, A]


def test_saved_detections_with_equal_scores_keep_their_order(tmp_path, pictures):
    saved = record("10.png")
    saved["detections"] = [
        {"label": "cat", "score": (0.6, 0.5)[x % 2], "box": [x, 0, x + 1, 1]} for x in range(40)
    ]
    loaded = load_detections(save(tmp_path, [saved]), pictures)["id10"]
    assert loaded.boxes[:, 0].tolist() == [*range(0, 40, 2), *range(1, 40, 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": 5}, ": [1].image is 5; wanted a text."),
        ({"image": "20.png"}, ": [1].image is '20.png'; wanted each picture once."),
        ({"width": 99}, ": [1].width is 99; wanted 100 as in a small set."),
        ({"height": None}, ": [1].height is None; wanted a whole number."),
        ({"detections": {}}, ": [1].detections is {}; wanted a list."),
        (
            {"detections": [{"label": "duck"}]},
            ": [1].detections[0].label is 'duck'; wanted one of cat, dog.",
        ),
        (
            {"detections": [{"label": "cat", "score": "high"}]},
            ": [1].detections[0].score is 'high'; wanted a number.",
        ),
        ({"detections": [{"label": "cat", "score": 1}]}, " has no [1].detections[0].box."),
        (
            {"detections": [{"label": "cat", "score": 1, "box": [1]}]},
            ": [1].detections[0].box is [1]; wanted a list of 4 numbers.",
        ),
    ],
)
def test_a_wrong_field_of_saved_detections_is_named(tmp_path, pictures, change, message):
    path = save(tmp_path, [record("20.png"), record("10.png") | change])
    with pytest.raises(DataError) as caught:
        load_detections(path, pictures)
    assert str(caught.value) == f"{path}{message}"


def test_pictures_with_the_same_name_cannot_be_told_apart(tmp_path):
    same = dataset(annotation("1", path=Path("a/x.jpg")), annotation("2", path=Path("b/x.png")))
    with pytest.raises(DataError, match="rename one"):
        load_detections(save(tmp_path, []), same)
