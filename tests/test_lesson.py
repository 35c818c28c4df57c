"""What the lesson says will be seen is what the detector that ships finds.

Scores move in the third digit with the precision that a processor computes in, so a count of dozens
of boxes may be off by one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from fastrcnn.boxes import iou
from fastrcnn.detector import Detector, Trace
from fastrcnn.model.checkpoint import DEFAULT_CHECKPOINT
from fastrcnn.postprocess import Selection, select
from fastrcnn.training import RECIPES
from fastrcnn.ui.explore.examples import ASSETS

pytestmark = pytest.mark.system

LESSON = (Path(__file__).parents[1] / "docs" / "lesson.md").read_text(encoding="utf-8")
TEXT = " ".join(LESSON.split())


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.from_checkpoint(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def traces(detector) -> dict[str, Trace]:
    return {name: detector.trace(ASSETS / f"{name}.jpg") for name in ("cow", "horses", "sheep")}


def numbers(pattern: str) -> list[float]:
    """The numbers in the groups of the one place of the lesson that is so written."""
    (found,) = re.finditer(pattern, TEXT)
    return [float(number.replace(",", "")) for number in found.groups()]


def test_the_photograph_has_tens_of_billions_of_rectangles(traces):
    height, width = traces["horses"].image.shape[:2]
    size = numbers(r"A picture of (\d+) x (\d+) has tens of billions of rectangles")
    assert size == [width, height]
    assert 1e10 < width * (width + 1) / 2 * height * (height + 1) / 2 < 1e11


def test_the_first_merges_are_of_what_is_alike_and_the_last_makes_the_whole(traces):
    for run in traces["cow"].proposals.hierarchies[:1]:
        assert 100 < len(run.merges) < 1000
        assert (run.similarities[:3].sum(axis=1) > 3.8).all()
        *_, (colour, _, size, _) = run.similarities
        assert colour < 0.5 and size == 0
        cow = torch.tensor([[183.0, 230, 723, 540]])
        assert iou(cow, torch.from_numpy(run.boxes).float()).max() > 0.8


def test_the_recall_of_the_horses(traces):
    objects = json.loads((ASSETS / "objects.json").read_text())["horses.jpg"]
    horses = torch.tensor([item["box"] for item in objects]).float()
    overlaps = iou(horses, traces["horses"].boxes)
    covered = [int((overlaps[:, :count].amax(dim=1) >= 0.5).sum()) for count in (500, 50, 20)]
    assert re.search("500 boxes all five .*; with 50 three have, with 20 only two", TEXT)
    assert covered == [5, 3, 2]


def test_the_rounding_of_the_sheep(detector, traces):
    trace = traces["sheep"]
    chosen = trace.boxes[trace.probabilities[:, 1:].amax(dim=1).argmax()]
    paper, align = (detector.inspect(trace, chosen, form) for form in ("paper", "align"))
    to_picture = detector.model.backbone.stride / torch.tensor([*trace.scale, *trace.scale])
    moved = ((paper.cells - paper.exact) * to_picture).round().tolist()
    right, bottom = numbers(r"by (\d+) pixels of the photograph on the right and by (\d+) at")
    assert moved[2:] == [right, bottom] and max(map(abs, moved)) <= bottom
    scores = [seen.probabilities[1:].max() for seen in (paper, align)]
    assert scores == pytest.approx(
        numbers(r"probability falls from ([\d.]+) to ([\d.]+) with"), abs=0.02
    )


def test_half_a_cow_is_still_a_cow_and_less_is_not(detector, traces):
    cow = 1 + detector.classes.index("cow")
    corners = r"\(?(?:or type )?(\d+), (\d+), (\d+), (\d+)\)"
    half = numbers(rf"the large cow {corners}")
    less = numbers(rf"head and foreleg {corners}")
    whole = numbers(rf"all of her {corners}")
    meadow = numbers(rf"meadow {corners}")
    boxes = torch.tensor([half, less, whole, meadow])
    probabilities, _, regressed = detector.score(traces["cow"], boxes)
    scores = numbers(r"cow still, by ([\d.]+) where all of her has ([\d.]+),")
    assert probabilities[[0, 2], cow] == pytest.approx(scores, abs=0.02)
    moved = numbers(r"the right edge moves from (\d+) to (\d+)")
    assert [half[2], regressed[0, cow, 2]] == pytest.approx(moved, abs=2)
    assert iou(boxes[:1], boxes[2:3]) == pytest.approx(0.5)
    assert probabilities[1].argmax() == 0 and probabilities[1, 1:].argmax() == cow - 1
    assert probabilities[3, 0] == pytest.approx(1, abs=0.005)


def test_how_many_boxes_are_left_at_each_setting(detector, traces):
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| (\d+) \| (\d+) \|$", LESSON, re.MULTILINE)
    assert len(rows) == 4
    for score, nms, *counts in rows:
        for name, count in zip(("cow", "horses"), counts, strict=True):
            trace = traces[name]
            found = select(
                trace.probabilities,
                trace.regressed,
                detector.classes,
                float(score),
                float(nms),
                Selection().vote_threshold,
            )
            assert len(found) == pytest.approx(int(count), abs=int(count) // 20), (name, score, nms)
    assert "One of the boxes on the horses says cow" in TEXT
    assert traces["horses"].detections.names.count("cow") == 1


def test_half_of_the_mini_batch_may_be_objects():
    assert re.search("Half of a mini-batch.*at most are objects .*, a quarter in the paper;", TEXT)
    assert RECIPES["shapes"].fg_fraction == 0.5 and RECIPES["paper"].fg_fraction == 0.25
