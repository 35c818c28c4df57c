"""The whole way from a picture to its detections, and the same way with every step kept.

R proposals, K classes with background at 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms as suppress

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections
from fastrcnn.images import Source, load_image
from fastrcnn.model import FastRCNN, load_checkpoint
from fastrcnn.proposals import Proposals, SelectiveSearch, selective_search

PER_CLASS = 100  # detections kept per class and picture (the paper's code)


@dataclass(frozen=True)
class Trace:
    """One picture's way through the detector, every step as the network computed it.

    image: (H, W, 3) uint8 RGB.
    proposals: selective search's ranked boxes with their hierarchies, or None where the boxes were
    given.
    boxes: (R, 4) float32, the proposals that were scored, in pixels of the picture.
    features: (1, C, h, w), the last convolution's map. scale: (sx, sy), network input pixels per
    picture pixel; the map has one cell per 16 of those.
    probabilities: (R, K) softmax scores. deltas: (R, K, 4), (tx, ty, tw, th) per class.
    regressed: (R, K, 4), the boxes that the deltas lead to, clipped to the picture.
    seconds: what each stage took.
    """

    image: np.ndarray
    proposals: Proposals | None
    boxes: Tensor
    features: Tensor
    scale: tuple[float, float]
    probabilities: Tensor
    deltas: Tensor
    regressed: Tensor
    detections: Detections
    seconds: dict[str, float]


class Detector:
    """Fast R-CNN with its proposals: a picture in, detections out."""

    def __init__(
        self, model: FastRCNN, metadata: dict | None = None, search: str | SelectiveSearch = "fast"
    ) -> None:
        self.model = model.eval()
        self.metadata = metadata or {}
        self.search = search

    @classmethod
    def from_checkpoint(
        cls, path: str | Path | None = None, search: str | SelectiveSearch = "fast"
    ) -> Detector:
        """The detector that ships with the project, or the one in `path`.

        Raises CheckpointError where the file is not a checkpoint.
        """
        return cls(*load_checkpoint(path), search)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, background left out."""
        return self.model.config.classes

    def __call__(
        self,
        image: Source,
        *,
        score: float = 0.5,
        nms: float = 0.3,
        proposals: int = 2000,
        retry: float | None = None,
    ) -> Detections:
        """The detections in a picture. See `trace`."""
        return self.trace(image, score=score, nms=nms, proposals=proposals, retry=retry).detections

    @torch.inference_mode()
    def trace(
        self,
        image: Source,
        *,
        score: float = 0.5,
        nms: float = 0.3,
        proposals: int = 2000,
        retry: float | None = None,
        boxes: np.ndarray | None = None,
        features: tuple[Tensor, tuple[float, float]] | None = None,
    ) -> Trace:
        """Detect, and keep every step.

        image: whatever `load_image` reads. score: the least probability of a detection. nms: boxes
        of one class that overlap a better one by more than this IoU are dropped. proposals: how
        many of the best-ranked are scored. retry: where no box passes `score`, the single best one
        above this is kept (the walk-through's way). boxes, features: what is already known of the
        picture, to be used instead of computing it. Raises ImageError.
        """
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            image = load_image(image)
        height, width = image.shape[:2]
        found = None
        if boxes is None:
            with _timed(seconds, "proposals"):
                found = selective_search(image, self.search)
            boxes = found.boxes
        boxes = torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4)[:proposals])
        with _timed(seconds, "features"):
            if features is None:
                resized, scale = self.model.config.geometry.resize(image)
                features = self.model.backbone(self.model.backbone.preprocess(resized)), scale
            maps, scale = features
        with _timed(seconds, "head"):
            rois = torch.zeros((len(boxes), 5))
            rois[:, 1:] = boxes * torch.tensor([*scale, *scale])
            probabilities, deltas = self.model.predict(maps, rois)
        with _timed(seconds, "nms"):
            regressed = box_ops.clip(box_ops.decode(boxes, deltas), height, width)
            detections = select(probabilities, regressed, self.classes, score, nms)
            if retry is not None and not len(detections):
                best = select(probabilities, regressed, self.classes, retry, nms)
                detections = best.first(1)
        return Trace(
            image=image,
            proposals=found,
            boxes=boxes,
            features=maps,
            scale=scale,
            probabilities=probabilities,
            deltas=deltas,
            regressed=regressed,
            detections=detections,
            seconds=seconds,
        )


def select(
    probabilities: Tensor, regressed: Tensor, classes: tuple[str, ...], score: float, nms: float
) -> Detections:
    """Score threshold, then non-maximum suppression per class (paper, section 2.2).

    probabilities: (R, K). regressed: (R, K, 4). At most 100 a class are kept, best first.
    """
    boxes, scores, labels = [], [], []
    for label in range(1, probabilities.shape[1]):
        candidates = torch.nonzero(probabilities[:, label] >= score).squeeze(1)
        class_boxes = regressed[candidates, label]
        class_scores = probabilities[candidates, label]
        kept = suppress(class_boxes, class_scores, nms)[:PER_CLASS]
        boxes.append(class_boxes[kept])
        scores.append(class_scores[kept])
        labels.append(torch.full((len(kept),), label))
    order = torch.argsort(torch.cat(scores), descending=True, stable=True)
    return Detections(
        torch.cat(boxes)[order].numpy(),
        torch.cat(scores)[order].numpy(),
        torch.cat(labels)[order].numpy(),
        classes,
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
