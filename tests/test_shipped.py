"""The checkpoint that ships, on the photographs that ship, none of which it was trained on."""

import json
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torchvision.ops import nms

from fastrcnn.boxes import iou, vote
from fastrcnn.data import VOC_CLASSES
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.model.checkpoint import DEFAULT_CHECKPOINT
from fastrcnn.model.weights import IMAGENET_WEIGHTS
from fastrcnn.postprocess import PER_CLASS, select

pytestmark = pytest.mark.system

ASSETS = Path(__file__).parents[1] / "assets"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return Detector.from_checkpoint(DEFAULT_CHECKPOINT)


def test_the_measured_pictures_are_named_as_a_split_of_pascal_voc():
    names = (DEFAULT_CHECKPOINT.parent / "voc07_val.txt").read_text("utf-8").split("\n")
    assert names.pop() == "" and names == sorted(set(names)) and len(names) == 514
    assert all(re.fullmatch(r"00\d{4}", name) for name in names)


@pytest.fixture(scope="module")
def detect(shipped) -> Callable[[str], Detections]:
    """What it finds in a photograph; several tests look at the same one."""
    return cache(lambda photo: shipped(ASSETS / f"{photo}.jpg"))


@pytest.mark.parametrize(
    ("photo", "name", "count"),
    [
        ("astronaut", "person", 1),
        ("chelsea", "cat", 1),
        ("cow", "cow", 1),
        ("sheep", "sheep", 1),
        ("shepherd-dog", "dog", 1),
        ("horses", "horse", 4),
        ("jockey", "person", 1),
        ("great-dane", "person", 1),
        ("great-dane", "dog", 1),
        ("wine", "bottle", 1),
    ],
)
def test_finds_what_the_photograph_shows(detect, photo, name, count):
    assert detect(photo).above(0.6).names.count(name) >= count


@pytest.mark.parametrize(
    ("photo", "names"),
    [("airliner", ["aeroplane"]), ("goshawk", ["aeroplane"]), ("cow", ["cow", "cow", "cow"])],
)
def test_finds_nothing_that_is_not_there(detect, photo, names):
    assert detect(photo).names == names


@pytest.mark.parametrize(
    ("photo", "name"), [("airliner", "aeroplane"), ("goshawk", "aeroplane"), ("jockey", "horse")]
)
def test_a_large_object_gets_a_tight_box(detect, photo, name):
    found = detect(photo)
    objects = json.loads((ASSETS / "objects.json").read_text())[f"{photo}.jpg"]
    true = [item["box"] for item in objects if item["label"] == name]
    ours = found.boxes[[one == name for one in found.names]]
    overlaps = iou(torch.from_numpy(ours), torch.tensor(true, dtype=torch.float32))
    assert (overlaps.amax(dim=0) >= 0.75).all()


def test_says_what_it_is_and_where_it_came_from(shipped):
    assert shipped.classes == VOC_CLASSES
    assert {"recipe", "data", "metrics", "licences"} <= shipped.metadata.keys()
    assert "Simonyan" in str(shipped.metadata["licences"])


def test_is_small_enough_to_ship():
    assert DEFAULT_CHECKPOINT.stat().st_size <= 60 * MEGABYTE
    assert IMAGENET_WEIGHTS.stat().st_size <= 60 * MEGABYTE


def test_every_photograph_that_ships_has_its_credit():
    credits = (ASSETS / "README.md").read_text()
    photos = sorted(ASSETS.glob("*.jpg"))
    assert len(photos) == 16
    for photo in photos:
        assert photo.name in credits


@pytest.fixture(scope="module")
def traces(shipped) -> list[Trace]:
    # A few hundred boxes of all sizes are proposals enough.
    detector = Detector(shipped.model, search="single")
    photos = ("astronaut", "chelsea", "cow", "sheep", "two-dogs", "horses")
    return [detector.trace(ASSETS / f"{photo}.jpg") for photo in photos]


@pytest.mark.parametrize(
    ("score_threshold", "nms_threshold", "vote_threshold"),
    [(0.5, 0.3, 0.5), (0.05, 0.3, None), (0.01, 0.5, 0.5), (0.3, 0.0, 0.7)],
)
def test_what_is_kept_is_what_a_loop_over_classes_keeps(
    shipped, traces, score_threshold, nms_threshold, vote_threshold
):
    thresholds = score_threshold, nms_threshold, vote_threshold
    for trace in traces:
        found = select(trace.probabilities, trace.regressed, shipped.classes, *thresholds)
        expected = []
        for label in range(1, len(shipped.classes) + 1):
            scores, boxes = trace.probabilities[:, label], trace.regressed[:, label]
            passing = (scores >= score_threshold).nonzero().flatten()
            kept = passing[nms(boxes[passing], scores[passing], nms_threshold)][:PER_CLASS]
            places = boxes[kept]
            if vote_threshold is not None:
                places, _ = vote(places, boxes, scores, vote_threshold)
            expected += [
                (score, label, box)
                for score, box in zip(scores[kept].tolist(), places.tolist(), strict=True)
            ]
        expected.sort(key=lambda one: -one[0])
        ours = zip(found.scores.tolist(), found.labels.tolist(), found.boxes.tolist(), strict=True)
        assert list(ours) == expected


def test_choosing_the_detections_of_a_photograph_takes_milliseconds(shipped, traces):
    """Some 3 on an idle processor; the slack is for a busy one."""

    def seconds(trace: Trace) -> float:
        start = time.process_time()
        select(trace.probabilities, trace.regressed, shipped.classes, 0.5, 0.3, 0.5)
        return time.process_time() - start

    for trace in traces:
        assert min(seconds(trace) for _ in range(7)) < 0.015
