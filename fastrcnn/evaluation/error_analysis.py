"""What a detector gets wrong, by kind (Hoiem, Chodpathumwan and Dai, ECCV 2012).

Each of the surest false positives of a class has one cause, the first of these that holds:

* ``localisation``: it overlaps an object of its own class, but too little (IoU 0.1 to 0.5), or the
  object was found already;
* ``similar``: it overlaps an object of a similar class by 0.1 or more;
* ``other``: it overlaps an object of any other class by 0.1 or more;
* ``background``: none of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.average_precision import exact_iou, match

KINDS = ("localisation", "similar", "other", "background")
_NEAR = 0.1  # from this IoU on, a detection is compared with an object

# Hoiem et al.'s groups of Pascal VOC classes. A class may be in two groups.
_GROUPS = (
    {"aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"},
    {"bird", "cat", "cow", "dog", "horse", "person", "sheep"},
    {"chair", "diningtable", "sofa"},
    {"aeroplane", "bird"},
)


@dataclass(frozen=True)
class FalsePositive:
    """A detection that is wrong. kind: one of KINDS. box: (4,) xyxy in pixels of its picture."""

    label: str
    score: float
    image_id: str
    box: np.ndarray
    kind: str


@dataclass(frozen=True)
class Missed:
    """An object that no proposal overlaps by IoU 0.5. share: of the picture's area."""

    label: str
    image_id: str
    share: float
    best: float


def worst_false_positives(
    detections: Mapping[str, Detections], dataset: Dataset, count: int = 20, iou: float = 0.5
) -> dict[str, list[FalsePositive]]:
    """The `count` surest false positives of each class, surest first.

    detections: by image id, one entry a picture. iou: a detection is right from this IoU on.
    """
    worst = {}
    for label, name in enumerate(dataset.classes, start=1):
        matches = match(detections, dataset, label)
        found, ignored = matches.judged(iou)
        wrong = np.flatnonzero(~found & ~ignored)[:count]
        worst[name] = [
            _explain(name, dataset, detections, int(matches.image[i]), int(matches.row[i]))
            for i in wrong
        ]
    return worst


def _explain(
    name: str, dataset: Dataset, detections: Mapping[str, Detections], image: int, row: int
) -> FalsePositive:
    annotation = dataset[image]
    found = detections[annotation.image_id]
    box = found.boxes[row]
    near = exact_iou(box[None], annotation.boxes)[0] >= _NEAR
    touched = {dataset.classes[label - 1] for label in annotation.labels[near]}
    if name in touched:
        kind = "localisation"
    elif any(name in group and touched & group for group in _GROUPS):
        kind = "similar"
    else:
        kind = "other" if touched else "background"
    return FalsePositive(name, float(found.scores[row]), annotation.image_id, box, kind)


def missed_objects(
    proposals: Iterable[np.ndarray],
    dataset: Iterable[Annotation],
    classes: tuple[str, ...],
    iou: float = 0.5,
    limit: int = 2000,
) -> list[Missed]:
    """The objects that none of the best `limit` proposals reaches, without difficult ones.

    proposals: (R, 4) best first, for each picture.
    """
    missed = []
    for boxes, annotation in zip(proposals, dataset, strict=True):
        wanted = ~annotation.difficult
        best = exact_iou(annotation.boxes[wanted], np.asarray(boxes)[:limit]).max(axis=1, initial=0)
        area = annotation.width * annotation.height
        for box, label, reached in zip(
            annotation.boxes[wanted], annotation.labels[wanted], best, strict=True
        ):
            if reached < iou:
                share = float((box[2] - box[0]) * (box[3] - box[1]) / area)
                missed.append(
                    Missed(classes[label - 1], annotation.image_id, share, float(reached))
                )
    return missed
