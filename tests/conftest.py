"""What several tests need: a tiny detector in a file, a photograph, a data set."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fastrcnn.data import VOC_CLASSES
from fastrcnn.model import FastRCNN, ModelConfig, Resize, save_checkpoint

# Gradio looks for a free port from here on. Each process of pytest-xdist looks among ports of its
# own: where two find the same one free at once, the page of one of them starts twice.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["GRADIO_SERVER_PORT"] = str(7860 + 100 * _WORKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that run the whole program come first.

    They take longest. With the short ones at the end no process of several waits for the last.
    """
    whole = {item.path for item in items if item.get_closest_marker("system")}
    items.sort(key=lambda item: item.path not in whole)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A Fast R-CNN that knows nothing but answers in no time, and differently for each box."""
    torch.manual_seed(0)
    resize = Resize(shorter=64, longer=128)
    config = ModelConfig(classes=VOC_CLASSES, fc6=16, fc7=16, resize=resize)
    model = FastRCNN(config)
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(model.head.cls_score.weight, std=0.03)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(path, model, {"data": "none"}, half=True)
    return path


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A picture of a few plain shapes, 160 x 120."""
    path = tmp_path_factory.mktemp("photo") / "shapes.png"
    Image.fromarray(draw_shapes()).save(path)
    return path


@pytest.fixture(scope="session")
def voc(tmp_path_factory) -> Path:
    """A VOC folder of two pictures, each with a cat, in the splits train and val."""
    root = tmp_path_factory.mktemp("voc")
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for image_id in ("000001", "000002"):
        Image.fromarray(draw_shapes()).save(root / "JPEGImages" / f"{image_id}.jpg")
        (root / "Annotations" / f"{image_id}.xml").write_text(
            f"<annotation><filename>{image_id}.jpg</filename>"
            "<size><width>160</width><height>120</height><depth>3</depth></size>"
            "<object><name>cat</name><difficult>0</difficult><bndbox><xmin>21</xmin>"
            "<ymin>21</ymin><xmax>70</xmax><ymax>80</ymax></bndbox></object></annotation>"
        )
    for split in ("train", "val"):
        (root / "ImageSets/Main" / f"{split}.txt").write_text("000001\n000002\n")
    return root


def draw_shapes() -> np.ndarray:
    image = np.full((120, 160, 3), 235, np.uint8)
    cv2.rectangle(image, (20, 20), (69, 79), (200, 40, 40), -1)
    cv2.circle(image, (115, 70), 30, (30, 90, 200), -1)
    return image
