"""A training run small enough to be repeated: made-up features, a two-layer backbone.

As a program it trains or goes on: ``python -m tests.training.tiny OUT PICTURES key=value ...``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fastrcnn.data import Annotation, Dataset
from fastrcnn.model import Backbone, FastRCNN
from fastrcnn.model.vgg import torchvision_pixels
from fastrcnn.runtime import distributed
from fastrcnn.training import Recipe, Trainer, build_model, with_settings

CLASSES = ("square", "disc")
WIDTH, HEIGHT = 64, 48
RECIPE = Recipe(
    fc6=12,
    fc7=12,
    rois_per_batch=16,
    flip=True,
    first_trainable="conv2",
    lr=0.01,
    schedule="constant",
    iterations=12,
    precision="float32",
)


class _Layer(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


def tiny_backbone() -> Backbone:
    layers = {"conv1": _Layer(3, 4, 3, 2, 1), "conv2": _Layer(4, 4, 3, 2, 1)}
    return Backbone(
        layers, strides=(2, 4), channels=4, first_kept="conv1", pixels=torchvision_pixels
    )


class Features:
    """Maps where objects show as rectangles in the channel of their class, with some noise.

    They belong to a network input that is twice as wide as the picture. Counts its requests.
    """

    def __init__(self, stop: str | None) -> None:
        self.stop = stop
        self.requests = 0
        self._shape = {
            None: (1, 3, HEIGHT, 2 * WIDTH),
            "conv1": (1, 4, HEIGHT // 2, WIDTH),
            "conv2": (1, 4, HEIGHT // 4, WIDTH // 2),
        }[stop]

    def get(self, annotation: Annotation, flip: bool = False) -> tuple[Tensor, tuple[float, float]]:
        self.requests += 1
        random = np.random.default_rng(int(annotation.image_id))
        maps = torch.from_numpy(random.random(self._shape, np.float32)) / 4
        cells = [self._shape[3] / WIDTH, self._shape[2] / HEIGHT] * 2
        for label, box in zip(annotation.labels, annotation.boxes, strict=True):
            x1, y1, x2, y2 = (box * cells).round().astype(int)
            maps[0, label, y1:y2, x1:x2] += 1
        return maps.flip(3) if flip else maps, (2.0, 1.0)

    def mirror_width(self, annotation: Annotation) -> float:
        return annotation.width


class Proposals:
    """Boxes around the objects, some near and some far."""

    def get(self, annotation: Annotation) -> np.ndarray:
        random = np.random.default_rng(int(annotation.image_id) + 1000)
        around = annotation.boxes[random.integers(len(annotation.boxes), size=60)]
        boxes = around + random.normal(0, 5, around.shape).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        return boxes


def dataset(count: int = 7, first: int = 0) -> Dataset:
    annotations = []
    for index in range(first, first + count):
        random = np.random.default_rng(index)
        corners = random.uniform(0, 20, (2, 2))
        sizes = random.uniform(15, 25, (2, 2))
        annotations.append(
            Annotation(
                image_id=str(index),
                path=Path(f"{index}.png"),
                width=WIDTH,
                height=HEIGHT,
                boxes=np.concatenate([corners, corners + sizes], axis=1).astype(np.float32),
                labels=random.integers(1, 3, 2),
                difficult=np.array([False, index % 2 == 0]),
            )
        )
    return Dataset(f"tiny from {first}", CLASSES, tuple(annotations))


def trainer(
    out: Path,
    *settings: str,
    pictures: int = 7,
    val: Dataset | None = None,
    resume: bool = False,
) -> Trainer:
    recipe = with_settings(RECIPE, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = FastRCNN(recipe.network_config(CLASSES), tiny_backbone())
    model.freeze(recipe.first_trainable)
    features = Features(model.backbone.last_frozen())
    return Trainer(
        recipe,
        model,
        dataset(pictures),
        val,
        out=out,
        features=features,
        proposals=Proposals(),
        resume=resume,
    )


def painted(folder: Path, count: int = 6) -> Dataset:
    """Real files: coloured rectangles on grey, half of the pictures upright."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations = []
    for annotation in dataset(count):
        image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        for label, box in zip(annotation.labels, annotation.boxes, strict=True):
            x1, y1, x2, y2 = box.round().astype(int)
            image[y1:y2, x1:x2] = (250, 40, 40) if label == 1 else (40, 40, 250)
        boxes, width, height = annotation.boxes, WIDTH, HEIGHT
        if int(annotation.image_id) % 2:
            image, boxes = image.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
            width, height = HEIGHT, WIDTH
        path = folder / annotation.path
        Image.fromarray(image).save(path)
        annotations.append(
            replace(annotation, path=path, boxes=boxes.copy(), width=width, height=height)
        )
    return Dataset("painted", CLASSES, tuple(annotations))


PICTURES = Recipe(
    backbone="small",
    fc6=12,
    fc7=12,
    shorter=48,
    longer=80,
    rois_per_batch=16,
    first_trainable="conv2",
    optimizer="adamw",
    lr=0.002,
    schedule="constant",
    iterations=6,
    precision="float32",
)


def picture_trainer(
    out: Path, *settings: str, val: Dataset | None = None, resume: bool = False
) -> Trainer:
    """A run on painted pictures, which it decodes."""
    recipe = with_settings(PICTURES, settings)
    return Trainer(
        recipe,
        build_model(recipe, CLASSES),
        painted(out / "pictures"),
        val,
        out=out / "run",
        proposals=Proposals(),
        resume=resume,
    )


def run(out: Path, pictures: int, *settings: str) -> None:
    """Train, or go on, to the end: alone, or as one of the processes of a group."""
    distributed.init()
    for _ in trainer(out, *settings, pictures=pictures, resume=True):
        pass
    distributed.shutdown()


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
