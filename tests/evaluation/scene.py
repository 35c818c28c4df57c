"""Four pictures of noise with objects of two classes, and a network that has opinions on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fastrcnn.data import Annotation, Dataset
from fastrcnn.model import FastRCNN, ModelConfig, Resize
from tests.proposals.test_segments import picture

CLASSES = ("cat", "dog")


def boxes(count: int = 1200) -> np.ndarray:
    """The same proposals for every picture, more than one variant looks at."""
    corners = np.random.default_rng(0).uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + 40], axis=1).astype(np.float32)


def pictures(folder: Path) -> Dataset:
    """Four, 120 x 100, with three objects each; the last has a difficult one."""
    annotations = []
    for number in range(4):
        path = folder / f"{number}.png"
        Image.fromarray(picture(number, 100, 120)).save(path)
        random = np.random.default_rng(number)
        corners = random.uniform(0, 50, (3, 2))
        objects = np.concatenate([corners, corners + 45], axis=1).astype(np.float32)
        labels = np.array([1, 2, 1 + number % 2])
        difficult = np.array([False, False, number == 3])
        annotations.append(Annotation(str(number), path, 120, 100, objects, labels, difficult))
    return Dataset("made up", CLASSES, tuple(annotations))


def opinionated() -> FastRCNN:
    """A network with random weights and very different scores for each box."""
    torch.manual_seed(0)
    config = ModelConfig(
        classes=CLASSES, backbone="small", fc6=16, fc7=16, resize=Resize(shorter=64, longer=96)
    )
    made = FastRCNN(config)
    with torch.no_grad():
        made.head.cls_score.weight.mul_(60 / made.head.cls_score.weight.std())
        made.head.bbox_pred.weight.mul_(5 / made.head.bbox_pred.weight.std())
        made.head.bbox_std.fill_(0.1)
    return made.eval()
