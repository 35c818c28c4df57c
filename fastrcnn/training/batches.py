"""Mini-batches: N pictures, R / N sampled RoIs from each (paper, section 2.3).

What a mini-batch holds depends on the recipe's seed and on its number alone, never on what was
drawn before. So a run can be resumed at any iteration, its pictures can be shared out among
processes, and the next batch can be made ready in another thread, without a change in any number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fastrcnn.boxes import flip_boxes
from fastrcnn.data import Annotation, Dataset
from fastrcnn.errors import RecipeError
from fastrcnn.proposals.cache import ProposalSource
from fastrcnn.training.feature_cache import FeatureSource
from fastrcnn.training.recipes import Recipe
from fastrcnn.training.sampling import sample_rois
from fastrcnn.training.targets import Targets, label_proposals


class Stream(IntEnum):
    """What random numbers are drawn for; each use has its own, independent of the others."""

    SPLIT = 0
    STATISTICS = 1
    ORDER = 2
    SAMPLING = 3
    VALIDATION = 4
    DROPOUT = 5


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """The random numbers of one place in a run."""
    return np.random.default_rng((seed, stream, *position))


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture's part in a mini-batch: r RoIs, foreground first.

    flipped: the picture is used mirrored, and the boxes are those of the mirror image.
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
        """The RoIs with these indices."""
        names = ("boxes", "labels", "deltas", "overlaps")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True, eq=False)
class Picture:
    """A sample made ready for the network.

    features: (1, C, h, w) from the feature source. rois: (r, 5), batch index 0 and the box in
    pixels of the network input. labels: (r,). deltas: (r, 4), not normalised.
    pooled: (r, C, 7, 7) where everything up to RoI pooling is frozen, else None.
    """

    sample: Sample
    features: Tensor
    rois: Tensor
    labels: Tensor
    deltas: Tensor
    pooled: Tensor | None = None

    def only(self, chosen: Tensor) -> Picture:
        """The RoIs with these indices."""
        return Picture(
            self.sample.only(chosen.numpy()),
            self.features,
            self.rois[chosen],
            self.labels[chosen],
            self.deltas[chosen],
            None if self.pooled is None else self.pooled[chosen],
        )


class MiniBatches:
    """The mini-batches of a training set, and the pictures of a validation set, by number."""

    def __init__(
        self,
        recipe: Recipe,
        train: Dataset,
        features: FeatureSource,
        proposals: ProposalSource,
        pool: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        """pool: features and RoIs to pooled RoIs, where that needs no gradient."""
        self._recipe = recipe
        self._train = train
        self._features = features
        self._proposals = proposals
        self._pool = pool
        self._entries = len(train) * (2 if recipe.flip else 1)
        self.per_epoch = self._entries // recipe.images_per_batch
        if not self.per_epoch:
            raise RecipeError(
                f"images_per_batch is {recipe.images_per_batch}, but {train.name} has only "
                f"{self._entries} pictures, mirrored ones included; lower it."
            )

    def batch(self, iteration: int, first: int = 0, step: int = 1) -> list[Picture]:
        """The pictures ``first``, ``first + step``, ... of mini-batch `iteration`, from 0.

        Every epoch goes through the pictures (and their mirror images) in another order; what
        does not fill a last mini-batch is left out.
        """
        seed, count = self._recipe.seed, self._recipe.images_per_batch
        epoch, position = divmod(iteration, self.per_epoch)
        order = generator(seed, Stream.ORDER, epoch).permutation(self._entries)
        pictures = []
        for slot in range(first, count, step):
            flip, index = divmod(int(order[position * count + slot]), len(self._train))
            draw = generator(seed, Stream.SAMPLING, iteration, slot)
            pictures.append(self._training_picture(self._train[index], bool(flip), draw))
        return pictures

    def validation_picture(self, annotation: Annotation, index: int) -> Picture:
        """A validation picture; it gives the same RoIs every time, so that losses compare."""
        draw = generator(self._recipe.seed, Stream.VALIDATION, index)
        count = self._recipe.rois_per_batch // self._recipe.images_per_batch
        sample = self._sample(annotation, False, count, draw)
        return self._ready(sample, *self._features.get(annotation))

    def label(self, annotation: Annotation, flip: bool = False) -> tuple[Tensor, Targets]:
        """All proposals (R, 4) of a picture and what each should be told."""
        recipe = self._recipe
        used = np.ones(len(annotation.boxes), bool)
        if not recipe.use_difficult:
            used = ~annotation.difficult
        gt_boxes = torch.from_numpy(annotation.boxes[used])
        gt_labels = torch.from_numpy(annotation.labels[used])
        boxes = torch.from_numpy(self._proposals.get(annotation)[: recipe.max_proposals])
        if recipe.add_ground_truth:
            boxes = torch.cat([gt_boxes, boxes])
        if flip:
            width = self._features.mirror_width(annotation)
            boxes, gt_boxes = flip_boxes(boxes, width), flip_boxes(gt_boxes, width)
        targets = label_proposals(
            boxes, gt_boxes, gt_labels, recipe.fg_iou, recipe.bg_iou_low, recipe.bg_iou_high
        )
        return boxes, targets

    def _training_picture(
        self, annotation: Annotation, flip: bool, draw: np.random.Generator
    ) -> Picture:
        recipe = self._recipe
        count = (recipe.candidates_per_batch or recipe.rois_per_batch) // recipe.images_per_batch
        sample = self._sample(annotation, flip, count, draw)
        return self._ready(sample, *self._features.get(annotation, flip, draw))

    def _sample(
        self, annotation: Annotation, flip: bool, count: int, draw: np.random.Generator
    ) -> Sample:
        recipe = self._recipe
        boxes, targets = self.label(annotation, flip)
        chosen = sample_rois(targets.labels, count, recipe.fg_fraction, draw, recipe.replacement)
        return Sample(
            image_id=annotation.image_id,
            path=annotation.path,
            flipped=flip,
            boxes=boxes[chosen].numpy(),
            labels=targets.labels[chosen].numpy(),
            deltas=targets.deltas[chosen].numpy(),
            overlaps=targets.overlaps[chosen].numpy(),
        )

    def _ready(self, sample: Sample, features: Tensor, scale: tuple[float, float]) -> Picture:
        boxes = torch.from_numpy(sample.boxes)
        rois = torch.cat([boxes.new_zeros((len(boxes), 1)), boxes * torch.tensor(scale * 2)], dim=1)
        pooled = None
        if self._pool is not None:
            with torch.no_grad():
                pooled = self._pool(features, rois)
        labels, deltas = torch.from_numpy(sample.labels), torch.from_numpy(sample.deltas)
        return Picture(sample, features, rois, labels, deltas, pooled)


def split_validation(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """The data set without, and with only, a random `fraction` of its pictures."""
    if len(dataset) < 2:
        raise RecipeError(f"{dataset.name} has one picture; it cannot be split for validation.")
    count = min(max(round(fraction * len(dataset)), 1), len(dataset) - 1)
    chosen = set(generator(seed, Stream.SPLIT).permutation(len(dataset))[:count].tolist())
    parts: tuple[list[Annotation], list[Annotation]] = ([], [])
    for index, annotation in enumerate(dataset):
        parts[index in chosen].append(annotation)
    train, validation = (replace(dataset, annotations=tuple(part)) for part in parts)
    return train, validation
