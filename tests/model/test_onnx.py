"""The ONNX file, run by onnxruntime, gives what the detector gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from fastrcnn.detector import Detector
from fastrcnn.errors import CheckpointError, MissingPackageError
from fastrcnn.model import FastRCNN, ModelConfig, Resize
from fastrcnn.model.onnx import INPUTS, OUTPUTS, export_onnx

pytestmark = pytest.mark.system

# Both compute in float32 and add up in an order of their own.
PROBABILITY = 1e-4
PIXELS = 1e-2
SIZES = ((120, 160), (333, 90), (40, 500))  # height, width
COUNTS = (0, 1, 2, 57)


def untrained(**settings) -> FastRCNN:
    """One that knows nothing, but answers differently for each box."""
    torch.manual_seed(0)
    config = {"classes": ("cat", "dog"), "backbone": "small", "fc6": 16, "fc7": 16}
    resize = Resize(shorter=150, longer=300)
    model = FastRCNN(ModelConfig(**config | {"resize": resize} | settings)).eval()
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    nn.init.normal_(model.head.cls_score.weight, std=0.3)
    nn.init.normal_(model.head.bbox_pred.weight, std=0.1)
    model.head.bbox_mean.copy_(torch.tensor([0.1, -0.1, 0.2, -0.2]))
    model.head.bbox_std.copy_(torch.tensor([0.3, 0.4, 0.5, 0.6]))
    return model.requires_grad_(False)


MODELS = {
    "paper": {"pooling": "paper"},
    "walkthrough": {"pooling": "walkthrough", "resize": Resize(square=224)},
    "align": {"pooling": "align", "pool_size": 5},
    "caffenet": {"backbone": "caffenet", "divisor": 10.0},
    "vgg16": {"backbone": "vgg16", "fc6_rank": 4, "bbox_reg": False, "divisor": 10.0},
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory) -> tuple[FastRCNN, Path]:
    model = untrained(**MODELS[request.param])
    path = tmp_path_factory.mktemp("onnx") / f"{request.param}.onnx"
    export_onnx(model, path)
    return model, path


def run(path: Path, picture: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(list(OUTPUTS), dict(zip(INPUTS, (picture, boxes), strict=True)))


def some_boxes(count: int, height: int, width: int) -> np.ndarray:
    """Of every size, some of them beyond the picture's edge or thinner than a cell."""
    random = np.random.default_rng(count)
    corners = random.uniform(-0.1, 1.1, (count, 2, 2)) * (width, height)
    return np.sort(corners, axis=1).reshape(count, 4).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", COUNTS)
def test_onnxruntime_gives_the_detectors_probabilities_and_boxes(exported, size, count):
    model, path = exported
    height, width = size
    image = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    boxes = some_boxes(count, height, width)
    trace = Detector(model, precision="float32").trace(image, boxes=boxes)

    resized, scale = model.config.resize.resize(image)
    scale = np.array([*scale, *scale], np.float32)
    probabilities, deltas, regressed = run(path, resized, boxes * scale)
    assert probabilities.shape == (count, 3) and regressed.shape == (count, 3, 4)
    np.testing.assert_allclose(probabilities, trace.probabilities, atol=PROBABILITY)
    np.testing.assert_allclose(deltas, trace.deltas, atol=1e-4)
    np.testing.assert_allclose(regressed / scale, trace.regressed, atol=PIXELS)


def test_no_two_boxes_are_answered_alike(exported):
    # Else the test above would say little.
    model, path = exported
    resized, _ = model.config.resize.resize(np.zeros((120, 160, 3), np.uint8) + 100)
    resized[30:60, 40:90] = 200
    boxes = np.array([[0, 0, 60, 60], [30, 30, 140, 110]], np.float32)
    probabilities, _, _ = run(path, resized, boxes)
    assert np.abs(probabilities[0] - probabilities[1]).max() > 100 * PROBABILITY


def test_the_file_says_how_to_feed_it_and_what_comes_out(exported):
    model, path = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["cat", "dog"]
    assert Resize(**json.loads(metadata["resize"])) == model.config.resize
    assert {item.name: item.shape for item in session.get_inputs()} == {
        "picture": ["H", "W", 3],
        "boxes": ["R", 4],
    }
    assert [item.name for item in session.get_outputs()] == list(OUTPUTS)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    # Standard operations only, and nothing beside the file.
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_without_onnxscript_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackageError, match=r"ONNX needs onnxscript; .*onnxscript\.$"):
        export_onnx(untrained(), tmp_path / "out.onnx")


def test_what_cannot_be_written_is_one_sentence(photo):
    with pytest.raises(CheckpointError, match=r"out\.onnx cannot be written: [^.]+\.$"):
        export_onnx(untrained(), photo / "out.onnx")
