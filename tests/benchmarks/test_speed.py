"""What the timings are taken of; no test here asks how long anything takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torchvision.models import vgg16_bn
from torchvision.ops import nms

from fastrcnn.benchmarks import speed, walkthrough
from fastrcnn.benchmarks.speed import (
    ROWS,
    Setup,
    SpeedRow,
    _in_turns,
    _multiplications,
    is_steady,
    random_rois,
)
from fastrcnn.cli import main
from fastrcnn.model.backbone import empty_backbone

_SETUP = Setup(turns=3, device=torch.device("cpu"))


def test_a_ratio_reaches_its_target_or_not():
    faster = SpeedRow("a", "b", (1.0, 2.0, 9.0), (6.0, 6.0, 7.0), target=3)
    assert faster.ratio == 3 and faster.reached
    floor = SpeedRow("a", "b", (3.0,), (2.0,), target=1.4, floor=True)
    assert floor.ratio == 1.5 and not floor.reached


def test_both_run_by_turns_and_the_first_turn_is_not_counted(monkeypatch):
    monkeypatch.setattr(speed, "is_steady", lambda seconds: True)
    done = []
    row = _in_turns("row", "other", lambda: done.append("a"), lambda: done.append("b"), _SETUP, 1)
    assert done == ["a", "b"] * 4
    assert len(row.seconds) == len(row.reference_seconds) == 3


def test_a_row_is_measured_until_its_medians_are_steady(monkeypatch):
    monkeypatch.setattr(speed, "is_steady", lambda seconds: len(seconds) >= 7)
    assert len(_in_turns("row", "other", lambda: None, lambda: None, _SETUP, 1).seconds) == 7
    monkeypatch.setattr(speed, "is_steady", lambda seconds: False)
    assert len(_in_turns("row", "other", lambda: None, lambda: None, _SETUP, 1).seconds) == 40


def test_a_median_is_steady_when_its_interval_is_narrow():
    assert not is_steady([1.0])
    assert is_steady([1.0, 1.0, 1.0])
    assert is_steady([1.0, 1.1, 1.2] * 5) and not is_steady([1.0, 2.0, 3.0] * 5)
    # Quartiles 1 and 3, median 2: 1.57 x 2 / sqrt(n) is a tenth of 2 at n = 247.
    assert not is_steady([1.0, 2.0, 3.0] * 81) and is_steady([1.0, 2.0, 3.0] * 83)


def test_vgg16_has_the_published_number_of_multiplications():
    pixels = torch.zeros(1, 3, 224, 224)
    assert _multiplications(empty_backbone("vgg16"), pixels) == pytest.approx(15.35e9, rel=1e-3)


@pytest.fixture(scope="module")
def network() -> walkthrough.WalkThrough:
    torch.manual_seed(0)
    return walkthrough.WalkThrough()


def test_the_walk_throughs_network_is_vgg16_bn_without_its_last_pool(network):
    with torch.device("meta"):  # its shapes alone
        expected = vgg16_bn(weights=None)
    shapes = [p.shape for p in network.features.parameters()]
    assert shapes == [p.shape for p in expected.features.parameters()]
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    with torch.no_grad():
        assert network.features(walkthrough.preprocess(image)).shape == (1, 512, 14, 14)


@pytest.mark.parametrize("seed", range(5))
def test_numpy_nms_is_torchvisions(seed):
    random = np.random.default_rng(seed)
    low = random.uniform(0, 50, (60, 2))
    boxes = np.hstack([low, low + random.uniform(1, 50, (60, 2))]).astype(np.float32)
    scores = random.permutation(60).astype(np.float32)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.3).tolist()
    assert walkthrough.numpy_nms(boxes, scores, 0.3) == expected
    assert walkthrough.numpy_nms(boxes[:0], scores[:0], 0.3) == []


def test_a_walk_through_step_learns_the_head_only(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    rois = torch.tensor([[0, 0, 0, 100, 100], [0, 50, 50, 220, 220.0]])
    walkthrough.training_step(
        network,
        optimizer,
        torch.rand(1, 3, 224, 224),
        rois,
        torch.tensor([3, 0]),
        torch.zeros(2, 4),
    )
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert "cls_score.weight" in changed and "classifier.0.weight" in changed
    assert not [
        k
        for k in changed
        if k.startswith("features.") and "running" not in k and "num_batches" not in k
    ]


def test_rois_lie_in_the_input():
    rois = random_rois(80, 60, 500)
    assert (rois[:, 1:3] < rois[:, 3:]).all() and (rois[:, 0] == 0).all()
    assert rois[:, 1:].min() >= 0 and (rois[:, 3:] <= torch.tensor([80.0, 60.0])).all()


@pytest.mark.system
def test_the_command_prints_a_row_and_json(tiny_checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setattr(speed, "is_steady", lambda seconds: True)
    path = tmp_path / "found.json"
    assert main(["bench", "second-box", "--turns", "2", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "second-box" in printed and ">= 10" in printed and "cores" in printed
    found = json.loads(path.read_text())
    (row,) = found["rows"]
    assert row["name"] == "second-box" and len(row["seconds"]) == 2
    assert row["reached"] == (row["ratio"] >= row["target"])
    assert main(["bench", "cake"]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in ROWS)
