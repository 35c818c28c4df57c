"""How the cost grows with the picture, the boxes and the mini-batch: at most linearly.

Each table times the same work at growing sizes, by turns, and keeps the best turn. The best turn
depends least on what else the machine was doing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import cv2
import torch
from PIL import Image

from fastrcnn.benchmarks.speed import Setup, Work, photograph, random_rois
from fastrcnn.data import VOC_CLASSES
from fastrcnn.model import FastRCNN, ModelConfig, Resize
from fastrcnn.training.loss import multi_task_loss

_SIDES = (250, 500, 1000, 2000, 4000)
_BOXES = (100, 300, 1000, 3000, 10_000)
_PICTURES = (1, 2, 4, 8)
_ROIS_A_PICTURE = 64
_BATCH_SIDE = 224


@dataclass(frozen=True)
class Growth:
    """What the work takes at each size. seconds: the best turn."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponents(self) -> tuple[float, ...]:
        """The exponent of the cost's growth from each size to the next. 1 is linear."""
        return tuple(
            math.log(self.seconds[i + 1] / self.seconds[i])
            / math.log(self.sizes[i + 1] / self.sizes[i])
            for i in range(len(self.sizes) - 1)
        )


def measure_growth(names: tuple[str, ...], setup: Setup) -> Iterator[Growth]:
    """The tables with these names, each as soon as it is measured.

    Each size is run as often as `setup` says, after one run that is not counted.
    """
    for name in names:
        unit, works = TABLES[name]
        by_size = works(setup)
        yield Growth(name, unit, tuple(by_size), _best(list(by_size.values()), setup))


def _best(works: list[Work], setup: Setup) -> tuple[float, ...]:
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(setup.turns + 1):
        for work, seconds in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            setup.wait()
            if turn:  # the first one warms up
                seconds.append(time.perf_counter() - start)
    return tuple(map(min, taken))


def _whole_way(setup: Setup) -> Mapping[int, Work]:
    """From a JPEG file to its detections, by the number of pixels."""
    detector, works = setup.detector, {}
    for side in _SIDES:
        width, height = side, side * 3 // 4
        picture = Image.fromarray(cv2.resize(photograph(), (width, height)))
        file = BytesIO()
        picture.save(file, "JPEG", quality=90)
        works[width * height] = partial(detector.trace, file.getvalue())
    return works


def _boxes(setup: Setup) -> Mapping[int, Work]:
    """From boxes and a feature map to detections."""
    detector, image = setup.detector, photograph()
    known = detector.trace(image)
    features = known.features, known.scales
    height, width = image.shape[:2]
    boxes = random_rois(width, height, max(_BOXES))[:, 1:].numpy()
    return {
        count: partial(detector.trace, image, boxes=boxes, features=features, max_proposals=count)
        for count in _BOXES
    }


def _batch(setup: Setup) -> Mapping[int, Work]:
    """A training step from conv3_1 on, as in the paper, by the number of pictures."""
    torch.manual_seed(0)
    config = ModelConfig(classes=VOC_CLASSES, fc6=1024, fc7=1024, resize=Resize(square=_BATCH_SIDE))
    model = FastRCNN(config).train().to(setup.device)
    model.freeze("conv3_1")
    one = random_rois(_BATCH_SIDE, _BATCH_SIDE, _ROIS_A_PICTURE).to(setup.device)

    def step(count: int) -> None:
        pixels = torch.rand(count, 3, _BATCH_SIDE, _BATCH_SIDE, device=setup.device)
        rois = [one[:, 1:]] * count
        labels = torch.arange(count * len(one), device=setup.device) % (len(VOC_CLASSES) + 1)
        model.zero_grad(set_to_none=True)
        cls_score, bbox_pred = model(pixels, rois)
        targets = torch.zeros(len(labels), 4, device=setup.device)
        multi_task_loss(cls_score, bbox_pred, labels, targets).total.backward()

    return {count: partial(step, count) for count in _PICTURES}


TABLES: dict[str, tuple[str, Callable[[Setup], Mapping[int, Work]]]] = {
    "picture-size": ("pixels", _whole_way),
    "boxes": ("boxes", _boxes),
    "batch": ("pictures", _batch),
}
