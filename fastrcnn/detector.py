"""The whole way from a picture to its detections. Every step can be kept.

R proposals, K classes with background at 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections, Origin
from fastrcnn.errors import RecipeError
from fastrcnn.images import Source, load_image
from fastrcnn.model import FastRCNN, hub, load_checkpoint
from fastrcnn.model.backbone import join_maps
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.model.pyramid import Scale, nearest_level, put_together, share_out, to_input
from fastrcnn.model.roi_pool import RoIPool
from fastrcnn.postprocess import Selection
from fastrcnn.proposals import Proposals, Segmentation, SelectiveSearch, search_stages
from fastrcnn.runtime import torchvision_ops
from fastrcnn.runtime.device import choose
from fastrcnn.runtime.precision import PRECISIONS, autocast

Record = TypeVar("Record", "Trace", "Inspection")
Search = str | SelectiveSearch | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, repr=False)
class Trace:
    """One picture's way through the detector, every step as the network computed it.

    All tensors are on the processor, even if they were computed on a GPU.

    image: (H, W, 3) uint8 RGB.
    proposals: selective search's ranked boxes with their hierarchies, or None if the boxes came
    from elsewhere.
    boxes: (R, 4) float32, the proposals that were scored, in pixels of the picture.
    features: (V, C, h, w), the last convolution's map; V is 1, unless the detector looks at several
    scales or at the mirror image too (`fastrcnn.model.pyramid`). scales: (sx, sy) of each scale,
    network input pixels per picture pixel. A map has one cell per `model.backbone.stride` input
    pixels (16 for VGG16).
    probabilities: (R, K) softmax scores. deltas: (R, K, 4), (tx, ty, tw, th) per class.
    regressed: (R, K, 4), the proposals moved by their deltas and clipped to the picture.
    seconds: the time of each stage. A GPU may still be working when the next stage begins. Its
    time then counts for the stage that waits for it.
    """

    image: np.ndarray
    proposals: Proposals | None
    boxes: Tensor
    features: Tensor
    scales: tuple[Scale, ...]
    probabilities: Tensor
    deltas: Tensor
    regressed: Tensor
    detections: Detections
    seconds: dict[str, float]

    @property
    def scale(self) -> Scale:
        """(sx, sy) of the first map, the only one of most detectors."""
        return self.scales[0]

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"{width} x {height} picture, {len(self.boxes)} boxes scored, {self.detections}"


class Stage(NamedTuple):
    """What is known about a picture after one stage.

    name: the stage that is done: segments, proposals, features or detections. image: (H, W, 3)
    uint8 RGB. trace: every step, after the last stage only.
    """

    name: str
    image: np.ndarray
    segmentations: tuple[Segmentation, ...] = ()
    proposals: Proposals | None = None
    features: Tensor | None = None
    trace: Trace | None = None


@dataclass(frozen=True)
class Inspection:
    """One box in detail: its RoI pooling cell by cell, and the head's outputs for it.

    S x S bins (7 x 7 in the paper). Coordinates on the map are in cells: cell c spans c to c + 1.

    All tensors are on the processor.

    pooling: the kind of RoI pooling. box: (4,) float32 in pixels of the picture. level: which of
    the trace's maps the box was pooled from; 0 if there is one scale. The mirror image is left out.
    exact: (4,) float32, the box on the map before any rounding.
    cells: (4,) int64, x1 y1 x2 y2 after rounding, x2 and y2 exclusive; None for ``align``.
    bins: (S, S, 4), the part of the map that each bin covers. Whole cells, int64; for ``align``,
    which does not round, float32.
    pooled: (C, S, S). argmax: (C, S, S) int64, the cell with the maximum as row x W' + column, -1
    for an empty bin; None for ``align``, which takes no maximum.
    fc6, fc7: the units of the two hidden layers after their ReLU, (1024,) each in the detector that
    ships.
    probabilities: (K,). deltas: (K, 4). regressed: (K, 4), in pixels of the picture.
    """

    pooling: str
    box: Tensor
    level: int
    exact: Tensor
    cells: Tensor | None
    bins: Tensor
    pooled: Tensor
    argmax: Tensor | None
    fc6: Tensor
    fc7: Tensor
    probabilities: Tensor
    deltas: Tensor
    regressed: Tensor


class Detector:
    """Fast R-CNN with its proposals: a picture in, detections out.

    search: how boxes are proposed: a mode of selective search, its settings, or a function from the
    (H, W, 3) uint8 RGB picture to (R, 4) boxes in its pixels, best first. precision: the number
    format of convolutions and fully connected layers: "float32", "bfloat16" or "auto". "auto" is
    bfloat16 if the device has it; this is nearly twice as fast, and scores differ in the third
    digit. flip: look at the mirror image of each picture too, and take the mean of both answers,
    in twice the time. The network runs on the device of `model`; see `to`. The scales that it looks
    at are the model's (`Resize`). Raises RecipeError for another precision.
    """

    def __init__(
        self,
        model: FastRCNN,
        metadata: dict | None = None,
        search: Search = "fast",
        precision: str = "auto",
        flip: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise RecipeError(
                f"There is no precision {precision!r}; there are {', '.join(PRECISIONS)}."
            )
        self.model = model.eval()
        self.metadata = metadata or {}
        self.search = search
        self.precision = precision
        self.flip = flip

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
        flip: bool = False,
    ) -> Detector:
        """The detector that ships with the project, or the one in `path`.

        search, precision, flip: as for `Detector`. device: see `fastrcnn.runtime.device.choose`.
        Raises CheckpointError if the file is not a checkpoint, RecipeError if there is no such
        device or precision.
        """
        place = choose(device)
        model, metadata = load_checkpoint(path)
        return cls(model.to(place), metadata, search, precision, flip)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        search: Search = "fast",
        precision: str = "auto",
        device: str = "auto",
        **download: Any,
    ) -> Detector:
        """The detector in a folder that `save_pretrained` wrote, or of a repository on the Hub.

        name: a folder, or "user/name" on the Hugging Face Hub. What comes from there is kept on
        disk, so the network is needed once. download: options of `huggingface_hub.hf_hub_download`,
        such as revision, token, cache_dir, force_download and local_files_only. Raises
        CheckpointError and RecipeError as `from_checkpoint` does.
        """
        return cls.from_checkpoint(hub.find_checkpoint(name, **download), search, precision, device)

    def save_pretrained(
        self, folder: str | Path, *, half: bool = False, card: str | Path | None = None
    ) -> None:
        """Write a folder that `from_pretrained` reads, in the form of the Hub's repositories.

        It holds model.safetensors, config.json and the model card README.md. half: store 16-bit
        floats. card: a Markdown file that becomes the card; without it a short card is written,
        unless the folder has one. Raises CheckpointError if the folder cannot be written.
        """
        hub.save_folder(folder, self.model, self.metadata, half, card)

    def push_to_hub(
        self,
        name: str,
        *,
        half: bool = False,
        card: str | Path | None = None,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Push a detector of fastrcnn",
    ) -> str:
        """Upload what `save_pretrained` writes to the Hub's repository "user/name".

        The repository is made if there is none. Log in with `hf auth login` before, or give a
        token. Returns the commit's address. Raises CheckpointError if the Hub refuses it.
        """
        with TemporaryDirectory() as folder:
            hub.save_folder(folder, self.model, self.metadata, half, card, name)
            return hub.push(Path(folder), name, private, token, commit_message)

    def to(self, device: str) -> Detector:
        """Move the network to a device, named as for `from_checkpoint`, and return this detector.

        Raises RecipeError if there is no such device.
        """
        self.model.to(choose(device))
        return self

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.model.parameters()).device

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, background left out."""
        return self.model.config.classes

    def __call__(self, image: Source, **selection: Any) -> Detections:
        """The detections in a picture, without the steps that led to them.

        image: anything that `load_image` reads. selection: fields of `Selection`, such as
        ``score_threshold=0.6``. Raises ImageError, and RecipeError for a field that cannot work.
        """
        *_, last = self.stages(image, Selection(**selection), keep=False)
        assert last.trace is not None
        return last.trace.detections

    def trace(
        self,
        image: Source,
        *,
        boxes: np.ndarray | None = None,
        features: tuple[Tensor, tuple[Scale, ...]] | None = None,
        **selection: Any,
    ) -> Trace:
        """Detect, and keep every step. boxes, features: see `stages`; the rest: see `__call__`."""
        *_, last = self.stages(image, Selection(**selection), boxes=boxes, features=features)
        assert last.trace is not None
        return last.trace

    def stages(
        self,
        image: Source,
        selection: Selection | None = None,
        *,
        boxes: np.ndarray | None = None,
        features: tuple[Tensor, tuple[Scale, ...]] | None = None,
        keep: bool = True,
    ) -> Iterator[Stage]:
        """Detect in stages, and yield each stage as soon as it is done.

        image: anything that `load_image` reads. selection: what is scored and what is kept.
        boxes, features: results that are known already. They are used instead of being computed.
        keep: copy each step to the processor. Without it tensors stay on the network's device, and
        only the detections are copied.
        Raises ImageError.
        """
        selection = selection or Selection()
        torchvision_ops.prepare()
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            picture = load_image(image)
        segmentations: tuple[Segmentation, ...] = ()
        found: Proposals | None = None
        if boxes is None and not isinstance(self.search, str | SelectiveSearch):
            with _timed(seconds, "proposals"):
                boxes = self.search(picture)
        elif boxes is None:
            assert isinstance(self.search, str | SelectiveSearch)
            search = search_stages(picture, self.search)
            with _timed(seconds, "segments"):
                first = next(search)
            assert isinstance(first, tuple)
            segmentations = first
            yield Stage("segments", picture, segmentations)
            with _timed(seconds, "proposals"):
                (second,) = search
            assert isinstance(second, Proposals)
            found, boxes = second, second.boxes
        yield Stage("proposals", picture, segmentations, found)

        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)[: selection.max_proposals]
        scored = torch.from_numpy(boxes)
        placed = scored.to(self.device)
        # Inference mode must be off at each yield: the caller's own code runs then.
        with torch.inference_mode(), _timed(seconds, "features"):
            if features is None:
                images, scales = self._images(picture)
                halves = self.halves(images, self._rois(placed, picture, scales, self.flip)[0])
                (maps,) = next(halves)
            else:
                maps, scales = features[0].to(self.device), features[1]
            kept = maps.cpu() if keep else maps
        yield Stage("features", picture, segmentations, found, kept)

        with torch.inference_mode():
            with _timed(seconds, "head"):
                known = features is not None
                scores = self._scores(
                    placed, picture, maps, scales, None if known else next(halves)
                )
            with _timed(seconds, "nms"):
                probabilities, _, regressed = scores
                detections = selection.select(probabilities, regressed, self.classes)
        height, width = picture.shape[:2]
        detections = replace(detections, origin=Origin.of(image, height, width, seconds))
        trace = Trace(picture, found, scored, kept, scales, *scores, detections, seconds)
        if keep:
            trace = _on_processor(trace)
        yield Stage("detections", picture, segmentations, found, kept, trace)

    @torch.inference_mode()
    def score(self, trace: Trace, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score any boxes as if they were proposals: probabilities, deltas and regressed boxes.

        boxes: (R, 4) in pixels of the trace's picture. The results have the same shapes as in the
        trace.
        """
        boxes, maps = boxes.float().to(self.device), trace.features.to(self.device)
        scores = self._scores(boxes, trace.image, maps, trace.scales)
        probabilities, deltas, regressed = (part.cpu() for part in scores)
        return probabilities, deltas, regressed

    def halves(
        self, images: Sequence[Tensor], rois: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, ...]]:
        """The network's two halves, one after the other.

        images: V network inputs, each (1, 3, h, w). rois: those of each, (n, 4). Yields the joined
        maps, ``((V, C, h', w'),)``, then what `predict` gives.
        """
        maps = join_maps([self.convolve(image) for image in images])
        yield (maps,)
        yield self.predict(maps, *rois)

    def _images(self, picture: np.ndarray) -> tuple[list[Tensor], tuple[Scale, ...]]:
        """The network's inputs for a picture, one for each of V maps, and the scales of `Trace`."""
        levels = [level.resize(picture) for level in self.model.config.resize.levels()]
        images = [resized for resized, _ in levels]
        if self.flip:
            images += [resized[:, ::-1] for resized in images]
        inputs = [self.model.backbone.preprocess(image) for image in images]
        return inputs, tuple(scale for _, scale in levels)

    def _rois(
        self, boxes: Tensor, picture: np.ndarray, scales: tuple[Scale, ...], is_mirrored: bool
    ) -> tuple[list[Tensor], Tensor]:
        """The RoIs of each map, and each box's place among them (`share_out`)."""
        return share_out(boxes, scales, picture.shape[1] if is_mirrored else None)

    def _scores(
        self,
        boxes: Tensor,
        picture: np.ndarray,
        maps: Tensor,
        scales: tuple[Scale, ...],
        outputs: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, deltas and regressed boxes, on the network's device.

        outputs: what `predict` gave for the boxes' RoIs, if it was called already.
        """
        rois, places = self._rois(boxes, picture, scales, len(maps) > len(scales))
        probabilities, deltas = self.predict(maps, *rois) if outputs is None else outputs
        probabilities, deltas = put_together(probabilities, deltas, places)
        regressed = box_ops.clip(box_ops.decode(boxes, deltas), *picture.shape[:2])
        return probabilities, deltas, regressed

    def convolve(self, pixels: Tensor) -> Tensor:
        """The network's first half: input (1, 3, h, w) -> last map (1, C, h', w'), float32."""
        with autocast(self.precision, self.device):
            return self.model.backbone(pixels)

    def predict(self, features: Tensor, *rois: Tensor) -> tuple[Tensor, Tensor]:
        """The second half: (V, C, h', w') and the RoIs of each map, (n, 4) in pixels of its input
        -> probabilities (R, K) and deltas (R, K, 4) of all RoIs in this order, float32.
        """
        with autocast(self.precision, self.device):
            return self.model.predict(features, rois)

    @torch.inference_mode()
    def inspect(self, trace: Trace, box: Tensor, pooling: str | None = None) -> Inspection:
        """What RoI pooling and the head compute for one box, (4,) in pixels of the trace's picture.

        pooling: "paper", "walkthrough" or "align"; by default the network's own. Raises RecipeError
        for any other.
        """
        own = self.model.roi_pool
        pool = RoIPool(pooling or own.pooling, own.size, own.stride)
        boxes = box.float().view(1, 4)
        level = int(nearest_level(boxes, trace.scales))
        boxes = boxes.to(self.device)
        features = trace.features[level : level + 1].to(self.device)
        rois = with_image_index([to_input(boxes, trace.scales[level])], features)
        exact = rois[:, 1:] / pool.stride
        cells = argmax = None
        if pool.pooling == "align":
            pooled = pool(features, rois)
            x1, y1, x2, y2 = exact[0]
            steps = torch.linspace(0, 1, pool.size + 1, device=self.device)
            xs, ys = x1 + steps * (x2 - x1), y1 + steps * (y2 - y1)
            corners = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1)
            bins = torch.cat([corners[:-1, :-1], corners[1:, 1:]], dim=-1)
        else:
            height, width = features.shape[2:]
            pooled, argmax = pool.argmax(features, rois)
            cells = pool.cells(rois[0, 1:], height, width)
            bins = pool.bins(rois[0, 1:], height, width)
            argmax = argmax[0]
        # In float32, as `predict` does for likely objects.
        fc6, fc7 = self.model.head.hidden(pooled)
        probabilities, deltas = self.model.interpret(*self.model.head.outputs(fc7))
        regressed = box_ops.clip(box_ops.decode(boxes, deltas), *trace.image.shape[:2])
        seen = Inspection(
            pooling=pool.pooling,
            box=boxes[0],
            level=level,
            exact=exact[0],
            cells=cells,
            bins=bins,
            pooled=pooled[0],
            argmax=argmax,
            fc6=fc6[0],
            fc7=fc7[0],
            probabilities=probabilities[0],
            deltas=deltas[0],
            regressed=regressed[0],
        )
        return _on_processor(seen)


def _on_processor(record: Record) -> Record:
    """The same trace or inspection, with its tensors copied to the processor."""
    parts = vars(record).items()
    tensors: dict[str, Any] = {name: part.cpu() for name, part in parts if isinstance(part, Tensor)}
    return replace(record, **tensors)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
