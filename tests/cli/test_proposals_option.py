"""`--proposals FILE`: `train`, `detect`, `evaluate` and `recall` with boxes from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fastrcnn.cli import main
from fastrcnn.detector import Detector
from fastrcnn.proposals.dense import dense_boxes
from tests.cli.conftest import one_sentence
from tests.cli.test_train import SMALL

# The cat of the data set exactly, and a box elsewhere.
BOXES = [[20.0, 20.0, 70.0, 80.0], [90.0, 40.0, 150.0, 110.0]]


@pytest.fixture
def file(tmp_path, photo) -> Path:
    names = (photo.stem, "000001", "000002")
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({name: BOXES for name in names}))
    return path


def test_detect_looks_at_these_boxes_only(file, photo, capsys):
    options = ["--score-threshold", "0.01", "--json", "-"]
    assert main(["detect", str(photo), "--proposals", str(file), *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    own = Detector.from_checkpoint(search=lambda image: np.array(BOXES, np.float32))
    assert record["detections"] == own(photo, score_threshold=0.01).to_list() != []
    assert (
        main(["detect", str(photo), "--proposals", "dense", "--max-proposals", "50", *options]) == 0
    )
    (record,) = json.loads(capsys.readouterr().out)
    own = Detector.from_checkpoint(search=lambda image: dense_boxes(image)[:50])
    assert record["detections"] == own(photo, score_threshold=0.01).to_list() != []


def test_evaluate_scores_what_was_found_in_these_boxes(file, voc, tmp_path):
    found = tmp_path / "found.json"
    command = ["evaluate", "--data", str(voc), "--proposals", str(file), "--coco", str(found)]
    assert main([*command, "--vote-threshold", "none"]) == 0
    # Two boxes of each of two pictures, of any class.
    per_class: dict[tuple[int, int], int] = {}
    for record in json.loads(found.read_text()):
        key = record["image_id"], record["category_id"]
        per_class[key] = per_class.get(key, 0) + 1
    assert per_class and max(per_class.values()) <= 2


def test_recall_has_a_row_for_them(file, voc, capsys):
    command = ["recall", "--data", str(voc), "--limit", "1", "--proposals", str(file)]
    assert main([*command, "--json", "-"]) == 0
    first, *others = json.loads(capsys.readouterr().out)
    assert first["method"] == str(file) and first["boxes"] == 2
    assert first["recall"] == first["mean_best_overlap"] == first["average_recall"] == 1
    assert [row["method"] for row in others] == ["fastrcnn, fast", "OpenCV, fast"]


def test_train_learns_from_them(file, voc, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "--recipe", "laptop", "--data", str(voc), "--out", str(out), *SMALL]
    command += ["--set", "iterations=1"]
    assert main([*command, "--proposals", str(file)]) == 0
    step = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    # Of each picture the cat, drawn as an object and proposed, and nothing else: the other box
    # overlaps it too little to be learned.
    assert (step["foreground"], step["background"]) == (4, 0)
    file.write_text(json.dumps({"000001": BOXES}))
    capsys.readouterr()
    assert main([*command[:6], str(tmp_path / "x"), *SMALL, "--proposals", str(file)]) == 1
    printed = capsys.readouterr().err.splitlines()[-1]
    assert one_sentence(printed) and "no boxes of the picture 000002" in printed
