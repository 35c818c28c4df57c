"""Mini-batches: N pictures, R / N sampled RoIs from each (paper, section 2.3).

The content of a mini-batch depends only on the recipe's seed and the mini-batch's number, never on
what was drawn before. So a run can resume at any iteration, several processes can share the
pictures, and workers can prepare batches, and every number stays the same.

The pictures of a mini-batch are padded at the right and below to one size, so that they are one
array. The padding does not reach into their maps (see `BatchLoss`), which have zeros around them.
Pictures of one orientation go together to keep the padding small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fastrcnn.boxes import flip_boxes
from fastrcnn.data import Annotation, Dataset
from fastrcnn.data.pictures import load_annotated
from fastrcnn.errors import RecipeError
from fastrcnn.model.pyramid import nearest_level
from fastrcnn.proposals.cache import ProposalSource
from fastrcnn.training.augment import View, whole_view
from fastrcnn.training.feature_cache import FeatureSource
from fastrcnn.training.order import Order
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.sampling import sample_rois
from fastrcnn.training.streams import Stream, generator
from fastrcnn.training.targets import Targets, label_proposals


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture's part in a mini-batch: r RoIs, foreground first.

    flipped: the picture is used mirrored, and the boxes belong to the mirror image.
    boxes: (r, 4) float32 xyxy in pixels of the picture. labels: (r,) int64, 0 is background.
    deltas: (r, 4) float32, the box targets before normalisation, zeros for background.
    overlaps: (r,) float32, the best IoU with an object.
    """

    image_id: str
    path: Path
    flipped: bool
    boxes: np.ndarray
    labels: np.ndarray
    deltas: np.ndarray
    overlaps: np.ndarray

    def only(self, chosen: np.ndarray) -> Sample:
        """The RoIs with these indices, or where `chosen` is true."""
        names = ("boxes", "labels", "deltas", "overlaps")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples prepared for the network, padded to one size.

    images: (B, H, W, 3) uint8, the resized pictures; or the frozen layers' maps, (B, C, h, w) as
    floats, if these are kept. sizes: the height and width of each picture within `images`; None if
    nothing is padded. They are plain numbers, because reading a tensor would wait for the GPU.
    size_table: the same as a tensor (B, 2), for what computes on the GPU.
    places: (B, 4) int64, x1, y1, x2, y2 of each picture's pixels within `images`, since a view may
    leave a part empty; None for maps.
    rois: (R, 4) xyxy in pixels of the network's input, picture by picture. counts: the number of
    RoIs of each picture. labels: (R,) int64. deltas: (R, 4) float32, not normalised.
    """

    samples: tuple[Sample, ...]
    images: Tensor
    sizes: tuple[tuple[int, int], ...] | None
    size_table: Tensor | None
    places: Tensor | None
    rois: Tensor
    counts: tuple[int, ...]
    labels: Tensor
    deltas: Tensor

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, which a GPU can read while the processor works on."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """A copy on this device. The call does not wait until the copy is done."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        items: dict[str, Any] = {
            name: change(item) if isinstance(item, Tensor) else item
            for name, item in vars(self).items()
        }
        return Batch(**items)


class MiniBatches:
    """The mini-batches of a training set, and the pictures of a validation set, by number."""

    def __init__(
        self,
        recipe: Recipe,
        train: Dataset,
        features: FeatureSource | None,
        proposals: ProposalSource,
    ) -> None:
        """features: gives maps to use instead of the pictures."""
        self._recipe = recipe
        self._train = train
        self._features = features
        self._proposals = proposals
        self._order = Order(recipe, train)
        self.per_epoch = self._order.per_epoch

    def batch(self, iteration: int, first: int = 0, step: int = 1) -> Batch:
        """The pictures ``first``, ``first + step``, ... of mini-batch `iteration`, from 0."""
        recipe = self._recipe
        draw_scale = generator(recipe.seed, Stream.SCALE, iteration)
        resize = recipe.at_scale(recipe.resize(), draw_scale)
        chosen = self._order.batch(iteration)
        parts = []
        for slot in range(first, len(chosen), step):
            annotation, flip = self._train[chosen[slot][0]], chosen[slot][1]
            draw = generator(recipe.seed, Stream.SAMPLING, iteration, slot)
            view, draw_view = None, generator(recipe.seed, Stream.VIEW, iteration, slot)
            if self._features is None:
                levels = resize.levels()
                level = generator(recipe.seed, Stream.LEVEL, iteration, slot).integers(len(levels))
                view = recipe.view(levels[level], annotation.height, annotation.width, draw_view)
            sample = self._sample(annotation, draw, flip, view, recipe.candidates > 0)
            parts.append(self._alone(annotation, sample, view, draw_view))
        return _together(parts)

    def validation_picture(self, annotation: Annotation, index: int) -> Batch:
        """A validation picture, always with the same RoIs, so that losses can be compared.

        With a pyramid the batch has the picture at each scale, and each RoI where it is detected.
        """
        draw = generator(self._recipe.seed, Stream.VALIDATION, index)
        if self._features is not None:
            return self._alone(annotation, self._sample(annotation, draw), None)
        levels = self._recipe.resize().levels()
        views = [whole_view(level, annotation.height, annotation.width) for level in levels]
        sample = self._sample(annotation, draw, view=views[0])
        chosen = nearest_level(torch.from_numpy(sample.boxes), [view.scale for view in views])
        return _together(
            [
                self._alone(annotation, sample.only((chosen == level).numpy()), view)
                for level, view in enumerate(views)
            ]
        )

    def label(
        self, annotation: Annotation, flip: bool = False, view: View | None = None
    ) -> tuple[Tensor, Targets]:
        """All proposals (R, 4) of a picture, and the targets of each.

        With a view, proposals and objects are cut to the visible part of the picture. Those with
        too little left are not used.
        """
        recipe = self._recipe
        objects = torch.from_numpy(annotation.boxes)
        boxes = torch.from_numpy(self._proposals.get(annotation)[: recipe.max_proposals])
        if flip:
            width: float = annotation.width
            if self._features is not None:
                width = self._features.mirror_width(annotation)
            boxes, objects = flip_boxes(boxes, width), flip_boxes(objects, width)
        used = torch.ones(len(objects), dtype=torch.bool)
        if not recipe.use_difficult:
            used = torch.from_numpy(~annotation.difficult)
        if view is not None:
            boxes, share = view.cut(boxes)
            boxes = boxes[share >= recipe.visible_share]
            objects, share = view.cut(objects)
            used = used & (share >= recipe.visible_share)
        if recipe.add_ground_truth:
            boxes = torch.cat([objects[used], boxes])
        targets = label_proposals(
            boxes,
            objects[used],
            torch.from_numpy(annotation.labels)[used],
            recipe.fg_iou,
            recipe.bg_iou_low,
            recipe.bg_iou_high,
            objects[~used],
        )
        return boxes, targets

    def _sample(
        self,
        annotation: Annotation,
        draw: np.random.Generator,
        flip: bool = False,
        view: View | None = None,
        candidates: bool = False,
    ) -> Sample:
        """candidates: draw all the RoIs from which the hard examples are chosen later."""
        recipe = self._recipe
        boxes, targets = self.label(annotation, flip, view)
        count, fraction = recipe.rois_per_picture, recipe.fg_fraction
        if candidates:
            count, fraction = recipe.candidates, recipe.foreground_candidates / recipe.candidates
        chosen = sample_rois(targets.labels, count, fraction, draw, recipe.replacement)
        return Sample(
            image_id=annotation.image_id,
            path=annotation.path,
            flipped=flip,
            boxes=boxes[chosen].numpy(),
            labels=targets.labels[chosen].numpy(),
            deltas=targets.deltas[chosen].numpy(),
            overlaps=targets.overlaps[chosen].numpy(),
        )

    def _alone(
        self,
        annotation: Annotation,
        sample: Sample,
        view: View | None,
        colours: np.random.Generator | None = None,
    ) -> Batch:
        """A batch of one picture as the view shows it, or of its maps if there is no view."""
        boxes = torch.from_numpy(sample.boxes)
        places = None
        if view is None:
            assert self._features is not None
            images, scale = self._features.get(annotation, sample.flipped)
            rois = boxes * torch.tensor(scale * 2)
        else:
            image = load_annotated(annotation)
            pixels = view.render(image[:, ::-1] if sample.flipped else image)
            if colours is not None:
                pixels = self._recipe.recolour(pixels, colours)
            x1, y1, x2, y2 = view.place
            images = torch.zeros((1, *view.size, 3), dtype=torch.uint8)
            images[0, y1:y2, x1:x2] = torch.from_numpy(pixels)
            places = torch.tensor([view.place])
            rois = view.to_input(boxes)
        return Batch(
            samples=(sample,),
            images=images,
            sizes=None,
            size_table=None,
            places=places,
            rois=rois,
            counts=(len(boxes),),
            labels=torch.from_numpy(sample.labels),
            deltas=torch.from_numpy(sample.deltas),
        )


def _together(parts: Sequence[Batch]) -> Batch:
    """Joins batches of one picture into one batch, the images padded to one size."""
    pictures = parts[0].places is not None
    rows = 1 if pictures else 2  # the index of the height in the shape of `images`
    sizes = [(part.images.shape[rows], part.images.shape[rows + 1]) for part in parts]
    height, width = (max(size[side] for size in sizes) for side in (0, 1))
    images = []
    for part, size in zip(parts, sizes, strict=True):
        missing = (0, width - size[1], 0, height - size[0])
        images.append(pad(part.images, (0, 0, *missing) if pictures else missing))
    places = [part.places for part in parts if part.places is not None]
    padded = len(set(sizes)) > 1
    return Batch(
        samples=tuple(sample for part in parts for sample in part.samples),
        images=torch.cat(images),
        sizes=tuple(sizes) if padded else None,
        size_table=torch.tensor(sizes) if padded else None,
        places=torch.cat(places) if pictures else None,
        rois=torch.cat([part.rois for part in parts]),
        counts=tuple(count for part in parts for count in part.counts),
        labels=torch.cat([part.labels for part in parts]),
        deltas=torch.cat([part.deltas for part in parts]),
    )


def split_validation(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Splits the data set: the rest, and a random `fraction` of the pictures."""
    if len(dataset) < 2:
        raise RecipeError(f"{dataset.name} has one picture; it cannot be split for validation.")
    count = min(max(round(fraction * len(dataset)), 1), len(dataset) - 1)
    chosen = set(generator(seed, Stream.SPLIT).permutation(len(dataset))[:count].tolist())
    parts: tuple[list[Annotation], list[Annotation]] = ([], [])
    for index, annotation in enumerate(dataset):
        parts[index in chosen].append(annotation)
    train, validation = (replace(dataset, annotations=tuple(part)) for part in parts)
    return train, validation
