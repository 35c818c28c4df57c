"""Average precision as the Pascal VOC challenge scores it.

How a detection is judged (Everingham et al., IJCV 2010, section 4.2, and the challenge's own
code): class by class, best score first, each detection belongs to the object of its picture that
it overlaps most. If the IoU is below the threshold, or the object was already found, it is a false
positive. If the object is marked difficult, the detection does not count. An object that no
detection finds lowers the recall, unless it is difficult.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastrcnn import boxes as box_ops
from fastrcnn.data import Annotation, Dataset
from fastrcnn.data.json_fields import Field, read_json
from fastrcnn.data.pictures import check_size
from fastrcnn.detections import Detections
from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.runtime import distributed

COCO_THRESHOLDS = tuple(step / 20 for step in range(10, 20))  # 0.5, 0.55, ..., 0.95


@dataclass(frozen=True)
class Evaluation:
    """The scores of a detector on a data set.

    images: how many pictures were scored.
    ap: each class's average precision, the area under its curve (VOC from 2010 on); NaN for a
        class of which no object counts. The means leave such classes out.
    map_area, map_11point: the mean over classes, as area and as the mean precision at the recalls
        0, 0.1, ..., 1 (VOC2007).
    map_coco: the mean of map_area at the IoU thresholds 0.5, 0.55, ..., 0.95. COCO's own tool
        differs: it samples precision at 101 recalls, keeps 100 detections a picture, and lets a
        detection fall back to another object when its best one is taken.
    seconds_per_image: the mean time from file to detections; None for saved detections.
    """

    images: int
    map_area: float
    map_11point: float
    map_coco: float
    ap: dict[str, float]
    seconds_per_image: float | None = None

    def to_json_dict(self) -> dict:
        """Plain values with the fields' names; see `without_nan`."""
        return without_nan(vars(self)) | {"ap": without_nan(self.ap)}


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with None in place of NaN, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def average_precision(recall: np.ndarray, precision: np.ndarray, eleven_point: bool) -> float:
    """One number for a curve of recall and precision, each (D,), after each detection.

    The precision at a recall is the best one reached at that recall or a higher one.
    eleven_point: the mean precision at the recalls 0, 0.1, ..., 1. Otherwise the integral over
    the recall.
    """
    if eleven_point:
        return float(np.mean([precision[recall >= step / 10].max(initial=0) for step in range(11)]))
    return float(np.sum(np.diff(recall, prepend=0) * best_precision(precision)))


def best_precision(precision: np.ndarray) -> np.ndarray:
    """The best precision (D,) from each detection on. Under this line lies the area that counts."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def evaluate(
    detect: Callable[[Iterable[np.ndarray]], Iterable[Detections]],
    dataset: Dataset,
    progress: Callable[[Sequence[Annotation]], Iterable[Annotation]] = iter,
) -> tuple[Evaluation, dict[str, Detections]]:
    """Run a detector on every picture and score what it finds.

    detect: takes (H, W, 3) uint8 RGB pictures and gives the Detections of each in turn. Its score
        threshold should be almost 0, because the end of the curve counts too. It may take further
        pictures before it gives a result. ``partial(map, function)`` makes one from a function of
        one picture.
    progress: wraps the iteration over the pictures, for a progress bar.
    Returns the scores and the detections by image id. In a group of processes each takes every
    world-size-th picture and all of them return the whole result.
    Raises ImageError for a picture that cannot be read, DataError if a picture's size is not that
    of its annotation or the detector's classes are not the data set's.
    """
    mine = dataset.annotations[distributed.rank() :: distributed.world_size()]
    found: dict[str, Detections] = {}
    start = time.perf_counter()
    detecting = iter(detect(_picture(annotation) for annotation in mine))
    for annotation in progress(mine):
        found[annotation.image_id] = next(detecting)
        _check_classes(found[annotation.image_id], dataset)
    seconds = time.perf_counter() - start
    parts = distributed.gather_objects((found, seconds))
    everything = {image_id: item for part, _ in parts for image_id, item in part.items()}
    detections = {item.image_id: everything[item.image_id] for item in dataset}
    seconds_per_image = sum(part for _, part in parts) / len(dataset)
    return score_detections(detections, dataset, seconds_per_image=seconds_per_image), detections


def _picture(annotation: Annotation) -> np.ndarray:
    image = load_image(annotation.path)
    check_size(annotation, *image.shape[:2])
    return image


def score_detections(
    detections: Mapping[str, Detections],
    dataset: Dataset,
    iou: float = 0.5,
    seconds_per_image: float | None = None,
) -> Evaluation:
    """Score detections, given by image id, against the data set.

    iou: the threshold of everything except ``map_coco``. Detections of other pictures are ignored.
    Raises DataError if a picture has no entry or the classes are not the data set's. A picture
    without a detection has an empty entry.
    """
    missing = [item.image_id for item in dataset if item.image_id not in detections]
    if missing:
        raise DataError(
            f"There are no detections for {len(missing)} of the {len(dataset)} pictures, such as "
            f"{missing[0]}; run the detector on those too, or score fewer pictures."
        )
    for annotation in dataset:
        _check_classes(detections[annotation.image_id], dataset)

    area: dict[str, float] = {}
    eleven_point, coco = [], []
    for label, name in enumerate(dataset.classes, start=1):
        matches = match(detections, dataset, label)
        area[name] = matches.average_precision(iou)
        eleven_point.append(matches.average_precision(iou, eleven_point=True))
        coco.append(float(np.mean([matches.average_precision(value) for value in COCO_THRESHOLDS])))
    return Evaluation(
        images=len(dataset),
        map_area=_mean(area.values()),
        map_11point=_mean(eleven_point),
        map_coco=_mean(coco),
        ap=area,
        seconds_per_image=seconds_per_image,
    )


def _check_classes(detections: Detections, dataset: Dataset) -> None:
    if tuple(detections.classes) != tuple(dataset.classes):
        raise DataError(
            f"The detector knows the classes {', '.join(detections.classes)}, but {dataset.name} "
            f"has {', '.join(dataset.classes)}; they must be the same, in the same order."
        )


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True)
class Matches:
    """D detections of one class in a whole data set, best score first.

    overlap: (D,) the IoU with the object that it overlaps most. truth: (D,) that object's number.
    difficult: (D,) whether that object is difficult. positives: how many objects count.
    image, row: (D,) each detection's picture number, and its place in that picture's detections.
    """

    overlap: np.ndarray
    truth: np.ndarray
    difficult: np.ndarray
    positives: int
    image: np.ndarray
    row: np.ndarray

    def judged(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Which detections found an object, and which count for nothing, both (D,) bool."""
        hits = self.overlap >= threshold
        candidates = np.flatnonzero(hits & ~self.difficult)
        _, first = np.unique(self.truth[candidates], return_index=True)
        found = np.zeros(len(hits), dtype=bool)
        found[candidates[first]] = True
        return found, hits & self.difficult

    def average_precision(self, threshold: float, eleven_point: bool = False) -> float:
        """The function of this name, at an IoU threshold; NaN where no object counts."""
        if self.positives == 0:
            return math.nan
        return average_precision(*self.curve(threshold), eleven_point)

    def curve(self, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision, (D,) each, after each detection that counts, best score first.

        There must be an object that counts.
        """
        found, ignored = self.judged(threshold)
        true_positives = np.cumsum(found[~ignored])
        places = np.arange(1, len(true_positives) + 1)
        return true_positives / self.positives, true_positives / places


def match(detections: Mapping[str, Detections], dataset: Dataset, label: int) -> Matches:
    """The detections of one class, by image id, each with the object that it overlaps most."""
    scores, overlap, truth, difficult, image, row = [], [], [], [], [], []
    objects = positives = 0
    for number, annotation in enumerate(dataset):
        mine = annotation.labels == label
        found = detections[annotation.image_id]
        chosen = found.labels == label
        count = np.count_nonzero(chosen)
        best = np.zeros(count, dtype=np.int64)
        if count and mine.any():
            overlaps = exact_iou(found.boxes[chosen], annotation.boxes[mine])
            best = overlaps.argmax(axis=1)
            overlap.append(overlaps.max(axis=1))
            difficult.append(annotation.difficult[mine][best])
        else:
            overlap.append(np.zeros(count))
            difficult.append(np.zeros(count, dtype=bool))
        scores.append(found.scores[chosen])
        image.append(np.full(count, number))
        row.append(np.flatnonzero(chosen))
        truth.append(objects + best)
        objects += mine.sum()
        positives += int((mine & ~annotation.difficult).sum())
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Matches(
        overlap=np.concatenate(overlap)[order],
        truth=np.concatenate(truth)[order],
        difficult=np.concatenate(difficult)[order],
        positives=positives,
        image=np.concatenate(image)[order],
        row=np.concatenate(row)[order],
    )


def exact_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (N, M) in double precision, so that an IoU exactly at a threshold reaches it."""
    return box_ops.iou(*(torch.from_numpy(array.astype(np.float64)) for array in (a, b))).numpy()


def load_detections(path: str | Path, dataset: Dataset) -> dict[str, Detections]:
    """Saved detections, as ``detect --json`` writes them, by the data set's image ids.

    A picture is recognised by its file's name without folder and extension; others are ignored.
    Raises DataError, which names file and field, for a field that is missing or has the wrong type,
    a class that the data set does not have, and a picture that comes twice or has another size.
    """
    by_name: dict[str, Annotation] = {}
    for annotation in dataset:
        other = by_name.setdefault(annotation.path.stem, annotation)
        if other is not annotation:
            raise DataError(
                f"{dataset.name} has {other.path} and {annotation.path}, which saved detections "
                f"cannot tell apart; rename one."
            )
    labels = {name: label for label, name in enumerate(dataset.classes, start=1)}
    detections: dict[str, Detections] = {}
    for record in read_json(Path(path)):
        picture = by_name.get(Path(record["image"].text()).stem)
        if picture is None:
            continue
        if picture.image_id in detections:
            raise record["image"].error("each picture once")
        for side in ("width", "height"):
            if record[side].whole() != getattr(picture, side):
                raise record[side].error(f"{getattr(picture, side)} as in {dataset.name}")
        detections[picture.image_id] = _read_detections(
            record["detections"], labels, dataset.classes
        )
    return detections


def _read_detections(field: Field, labels: dict[str, int], classes: tuple[str, ...]) -> Detections:
    boxes, scores, numbers = [], [], []
    for item in field:
        if item["label"].text() not in labels:
            raise item["label"].error(f"one of {', '.join(classes)}")
        numbers.append(labels[item["label"].text()])
        scores.append(item["score"].number())
        boxes.append(item["box"].numbers(4))
    order = np.argsort(-np.array(scores), kind="stable")
    return Detections(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4)[order],
        scores=np.array(scores, dtype=np.float32)[order],
        labels=np.array(numbers, dtype=np.int64)[order],
        classes=classes,
    )
