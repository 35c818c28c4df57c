"""What bfloat16 changes, on a detector that knows nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fastrcnn.benchmarks.half_precision import compare_rounding
from fastrcnn.cli import main
from fastrcnn.data import open_dataset
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError
from fastrcnn.model import load_checkpoint


def test_every_detection_is_followed(tiny_checkpoint, voc):
    dataset = open_dataset(voc, "val")
    model, _ = load_checkpoint(tiny_checkpoint)
    found = compare_rounding(model, dataset, score=0.1)
    detector = Detector(model, precision="float32")
    expected = [detector(annotation.path, score_threshold=0.1).scores for annotation in dataset]
    assert sorted(found.scores) == sorted(np.concatenate(expected))
    assert 0 < found.moved.max() < 0.05
    assert found.float32.images == found.bfloat16.images == len(dataset)


def test_the_command_prints_what_each_precision_changes(tiny_checkpoint, voc, capsys):
    arguments = ["half-precision", "--data", str(voc), "--checkpoint", str(tiny_checkpoint)]
    assert main([*arguments, "--limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert (
        "1 pictures" in printed
        and "bfloat16" in printed
        and "detections of at least 0.5" in printed
    )
    assert main([*arguments, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["float32"]["images"] == 2
    shown = {row["least_score"]: row["detections"] for row in found["moved"]}
    assert shown[0.01] > shown[0.5] >= 0


def test_a_picture_of_another_size_than_annotated(tiny_checkpoint, voc):
    model, _ = load_checkpoint(tiny_checkpoint)
    dataset = open_dataset(voc, "val")[:1]
    wrong = replace(dataset, annotations=(replace(dataset.annotations[0], width=99),))
    with pytest.raises(DataError, match="99"):
        compare_rounding(model, wrong)
