"""The whole way from a picture to its detections, and the same way with every step kept.

R proposals, K classes with background at 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections, Origin
from fastrcnn.images import Source, load_image
from fastrcnn.model import FastRCNN, load_checkpoint
from fastrcnn.model.roi_pool import RoIPool
from fastrcnn.postprocess import select
from fastrcnn.proposals import Proposals, Segmentation, SelectiveSearch, search_stages
from fastrcnn.runtime import torchvision_ops
from fastrcnn.runtime.device import choose
from fastrcnn.runtime.precision import autocast

Search = str | SelectiveSearch | Callable[[np.ndarray], np.ndarray]

PROPOSALS = 2000  # scored per picture, the best-ranked ones
VOTE = 0.5  # least IoU with a detection of a box that has a say in where its edges are


@dataclass(frozen=True, repr=False)
class Trace:
    """One picture's way through the detector, every step as the network computed it.

    image: (H, W, 3) uint8 RGB.
    proposals: selective search's ranked boxes with their hierarchies, or None where the boxes came
    from elsewhere.
    boxes: (R, 4) float32, the proposals that were scored, in pixels of the picture.
    features: (1, C, h, w), the last convolution's map. scale: (sx, sy), network input pixels per
    picture pixel; the map has one cell per `model.backbone.stride` (16 for VGG16) of those.
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

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"{width} x {height} picture, {len(self.boxes)} boxes scored, {self.detections}"


class Stage(NamedTuple):
    """What is known of a picture when `name` is done: segments, proposals, features or detections.

    image: (H, W, 3) uint8 RGB. trace: the whole, once there are detections.
    """

    name: str
    image: np.ndarray
    segmentations: tuple[Segmentation, ...] = ()
    proposals: Proposals | None = None
    features: Tensor | None = None
    trace: Trace | None = None


@dataclass(frozen=True)
class Inspection:
    """One box, looked at closely: its RoI pooling cell by cell, and what the head makes of it.

    S x S bins (7 x 7 in the paper). Coordinates on the map are in cells: cell c spans c to c + 1.

    form: of the RoI pooling. box: (4,) float32 in pixels of the picture.
    exact: (4,) float32, the box on the map before any rounding.
    cells: (4,) int64, x1 y1 x2 y2 as rounded, x2 and y2 exclusive; None for ``align``.
    bins: (S, S, 4), the part of the map that each bin looks at: whole cells, int64, or for
    ``align``, which does not round, float32.
    pooled: (C, S, S). argmax: (C, S, S) int64, the winning cell as row x W' + column, -1 for an
    empty bin; None for ``align``, where no cell wins.
    probabilities: (K,). deltas: (K, 4). regressed: (K, 4), in pixels of the picture.
    """

    form: str
    box: Tensor
    exact: Tensor
    cells: Tensor | None
    bins: Tensor
    pooled: Tensor
    argmax: Tensor | None
    probabilities: Tensor
    deltas: Tensor
    regressed: Tensor


class Detector:
    """Fast R-CNN with its proposals: a picture in, detections out.

    search: how boxes are proposed: a mode of selective search, its settings, or a function from the
    (H, W, 3) uint8 RGB picture to (R, 4) boxes in its pixels, best first. precision: what
    convolutions and fully connected layers compute in: "float32", "bfloat16", or "auto", which is
    bfloat16 where the processor has it, nearly twice as fast and with scores that differ in the
    third digit.
    """

    def __init__(
        self,
        model: FastRCNN,
        metadata: dict | None = None,
        search: Search = "fast",
        precision: str = "auto",
    ) -> None:
        self.model = model.eval()
        self.metadata = metadata or {}
        self.search = search
        self.precision = precision

    def __repr__(self) -> str:
        own = self.model.config
        search = getattr(self.search, "__name__", self.search)
        return f"Detector of {len(self.classes)} classes: {own.backbone}, search {search}"

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | None = None,
        search: Search = "fast",
        precision: str = "auto",
        device: str = "auto",
    ) -> Detector:
        """The detector that ships with the project, or the one in `path`.

        device: see `fastrcnn.runtime.device.choose`. Raises CheckpointError where the file is not a
        checkpoint, RecipeError where there is no such device.
        """
        model, metadata = load_checkpoint(path)
        return cls(model.to(choose(device)), metadata, search, precision)

    def _autocast(self) -> torch.autocast:
        return autocast(self.precision, next(self.model.parameters()).device)

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
        vote: float | None = VOTE,
        proposals: int = PROPOSALS,
        retry: float | None = None,
    ) -> Detections:
        """The detections in a picture. See `trace`."""
        return self.trace(
            image, score=score, nms=nms, vote=vote, proposals=proposals, retry=retry
        ).detections

    @torch.inference_mode()
    def trace(
        self,
        image: Source,
        *,
        score: float = 0.5,
        nms: float = 0.3,
        vote: float | None = VOTE,
        proposals: int = PROPOSALS,
        retry: float | None = None,
        boxes: np.ndarray | None = None,
        features: tuple[Tensor, tuple[float, float]] | None = None,
    ) -> Trace:
        """Detect, and keep every step.

        image: whatever `load_image` reads. score: the least probability of a detection. nms: boxes
        of one class that overlap a better one by more than this IoU are dropped. vote: what remains
        is moved to the mean, weighted by probability, of all boxes of its class that overlap it by
        at least this IoU, the dropped ones included; None leaves it where it was regressed to (the
        paper's way). proposals: how many of the best-ranked are scored. retry: where no box passes
        `score`, the single best one above this is kept (the walk-through's way). boxes, features:
        what is already known of the picture, to be used instead of computing it. Raises ImageError.
        """
        stages = self._stages(
            image,
            score=score,
            nms=nms,
            vote=vote,
            proposals=proposals,
            retry=retry,
            boxes=boxes,
            features=features,
        )
        *_, last = stages
        assert last.trace is not None
        return last.trace

    def stages(
        self,
        image: Source,
        *,
        score: float = 0.5,
        nms: float = 0.3,
        vote: float | None = VOTE,
        proposals: int = PROPOSALS,
        retry: float | None = None,
    ) -> Iterator[Stage]:
        """`trace`, one stage after another, for who wants to see each as soon as it is there."""
        # Inference mode must not stay on while whoever asked works on what it was given.
        stages = self._stages(
            image, score=score, nms=nms, vote=vote, proposals=proposals, retry=retry
        )
        while True:
            with torch.inference_mode():
                stage = next(stages, None)
            if stage is None:
                return
            yield stage

    def _stages(
        self,
        image: Source,
        *,
        score: float,
        nms: float,
        vote: float | None,
        proposals: int,
        retry: float | None = None,
        boxes: np.ndarray | None = None,
        features: tuple[Tensor, tuple[float, float]] | None = None,
    ) -> Iterator[Stage]:
        torchvision_ops.prepare()
        seconds: dict[str, float] = {}
        source = image
        with _timed(seconds, "read"):
            image = load_image(source)
        segmentations: tuple[Segmentation, ...] = ()
        found: Proposals | None = None
        if boxes is None and not isinstance(self.search, str | SelectiveSearch):
            with _timed(seconds, "proposals"):
                boxes = self.search(image)
        elif boxes is None:
            assert isinstance(self.search, str | SelectiveSearch)
            search = search_stages(image, self.search)
            with _timed(seconds, "segments"):
                first = next(search)
            assert isinstance(first, tuple)
            segmentations = first
            yield Stage("segments", image, segmentations)
            with _timed(seconds, "proposals"):
                (second,) = search
            assert isinstance(second, Proposals)
            found, boxes = second, second.boxes
        scored = torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4)[:proposals])
        yield Stage("proposals", image, segmentations, found)
        with _timed(seconds, "features"):
            if features is None:
                resized, scale = self.model.config.geometry.resize(image)
                features = self.convolve(self.model.backbone.preprocess(resized)), scale
            maps, scale = features
        yield Stage("features", image, segmentations, found, maps)
        with _timed(seconds, "head"):
            scores = self._score(image, scored, maps, scale)
        with _timed(seconds, "nms"):
            probabilities, _, regressed = scores
            detections = select(probabilities, regressed, self.classes, score, nms, vote)
            if retry is not None and not len(detections):
                best = select(probabilities, regressed, self.classes, retry, nms, vote)
                detections = best.first(1)
        height, width = image.shape[:2]
        detections = replace(detections, origin=Origin.of(source, height, width, seconds))
        trace = Trace(image, found, scored, maps, scale, *scores, detections, seconds)
        yield Stage("detections", image, segmentations, found, maps, trace)

    @torch.inference_mode()
    def score(self, trace: Trace, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes of one's own, scored like proposals: probabilities, deltas and regressed boxes.

        boxes: (R, 4) in pixels of the trace's picture. The results have the shapes of the trace's.
        """
        return self._score(trace.image, boxes.float(), trace.features, trace.scale)

    def _score(
        self, image: np.ndarray, boxes: Tensor, features: Tensor, scale: tuple[float, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        probabilities, deltas = self.predict(features, _rois(boxes, scale))
        return probabilities, deltas, box_ops.clip(box_ops.decode(boxes, deltas), *image.shape[:2])

    def convolve(self, pixels: Tensor) -> Tensor:
        """The network's first half: (1, 3, h, w) input -> (1, C, h', w'), the last map, float32."""
        with self._autocast():
            return self.model.backbone(pixels).float()

    def predict(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """The second half: (1, C, h', w') and (R, 5) RoIs in pixels of the network's input ->
        probabilities (R, K) and deltas (R, K, 4), float32.
        """
        with self._autocast():
            return self.model.predict(features, rois)

    @torch.inference_mode()
    def inspect(self, trace: Trace, box: Tensor, form: str | None = None) -> Inspection:
        """What RoI pooling and the head do to one box, (4,) in pixels of the trace's picture.

        form: "paper", "walkthrough" or "align"; by default the network's own. Raises RecipeError
        for another.
        """
        own = self.model.roi_pool
        pool = RoIPool(form or own.form, own.size, own.stride)
        boxes = box.float().view(1, 4)
        rois = _rois(boxes, trace.scale)
        exact = rois[:, 1:] / pool.stride
        cells = argmax = None
        if pool.form == "align":
            pooled = pool(trace.features, rois)
            steps = torch.linspace(0, 1, pool.size + 1)
            xs = exact[0, 0] + steps * (exact[0, 2] - exact[0, 0])
            ys = exact[0, 1] + steps * (exact[0, 3] - exact[0, 1])
            corners = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1)
            bins = torch.cat([corners[:-1, :-1], corners[1:, 1:]], dim=-1)
        else:
            height, width = trace.features.shape[2:]
            pooled, argmax = pool.argmax(trace.features, rois)
            cells = pool.cells(rois[0, 1:], height, width)
            bins = pool.bins(rois[0, 1:], height, width)
            argmax = argmax[0]
        scores, bbox_pred = self.model.head(pooled)  # in float32, like all that may be an object
        deltas = self.model.head.deltas(bbox_pred)
        if not self.model.config.bbox_reg:
            deltas = torch.zeros_like(deltas)
        regressed = box_ops.clip(box_ops.decode(boxes, deltas), *trace.image.shape[:2])
        return Inspection(
            form=pool.form,
            box=boxes[0],
            exact=exact[0],
            cells=cells,
            bins=bins,
            pooled=pooled[0],
            argmax=argmax,
            probabilities=scores.softmax(dim=1)[0],
            deltas=deltas[0],
            regressed=regressed[0],
        )


def _rois(boxes: Tensor, scale: tuple[float, float]) -> Tensor:
    """(R, 4) in pixels of the picture -> (R, 5) in pixels of the network input."""
    return torch.cat([boxes.new_zeros(len(boxes), 1), boxes * torch.tensor([*scale, *scale])], 1)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
