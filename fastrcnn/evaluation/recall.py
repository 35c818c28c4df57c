"""How many objects the proposals reach. Compares ours with OpenCV's on the same pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from fastrcnn.data import Annotation, Dataset
from fastrcnn.data.pictures import check_size
from fastrcnn.errors import DataError, MissingPackageError
from fastrcnn.evaluation.average_precision import exact_iou
from fastrcnn.images import load_image
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.proposals.cache import ProposalSource


class ProposalQuality(NamedTuple):
    """How well proposals cover the objects (Uijlings et al., IJCV 2013, section 5).

    recall: the share of all objects that some proposal overlaps enough.
    mean_best_overlap: MABO, the best IoU of each object, averaged by class, then over classes.
    average_recall: the mean of the recalls at all IoUs from 0.5 to 1 (Hosang et al., PAMI 2016;
    paper, section 5.5).
    boxes: proposals per picture on average, before any limit.
    """

    recall: float
    mean_best_overlap: float
    average_recall: float
    boxes: float


def proposal_recall(
    proposals: Iterable[np.ndarray],
    annotations: Iterable[Annotation],
    iou: float = 0.5,
    limit: int = 2000,
) -> ProposalQuality:
    """Measure how well proposals, (R, 4) best first for each picture, cover the objects.

    Difficult objects are left out. limit: how many of a picture's proposals are used.
    Raises ValueError if the number of sets of proposals is not the number of pictures.
    """
    best: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    counts = []
    for boxes, annotation in zip(proposals, annotations, strict=True):
        counts.append(len(boxes))
        wanted = ~annotation.difficult
        overlaps = exact_iou(annotation.boxes[wanted], np.asarray(boxes)[:limit])  # (G, R)
        best.append(overlaps.max(axis=1, initial=0))
        labels.append(annotation.labels[wanted])
    overlap, label = np.concatenate(best), np.concatenate(labels)
    if len(overlap) == 0:
        return ProposalQuality(math.nan, math.nan, math.nan, float(np.mean(counts)))
    by_class = [overlap[label == value].mean() for value in np.unique(label)]
    return ProposalQuality(
        recall=float((overlap >= iou).mean()),
        mean_best_overlap=float(np.mean(by_class)),
        # An object adds to the recall at every IoU from 0.5 up to its own best one.
        average_recall=float(np.mean(2 * (overlap - 0.5).clip(min=0))),
        boxes=float(np.mean(counts)),
    )


@dataclass(frozen=True)
class RecallRow:
    """One method's proposals over a data set.

    recall, mean_best_overlap, average_recall, boxes: see ProposalQuality.
    seconds_per_image: a mean.
    """

    method: str
    recall: float
    mean_best_overlap: float
    average_recall: float
    boxes: float
    seconds_per_image: float


def opencv_selective_search(image: np.ndarray) -> np.ndarray:
    """OpenCV's own "fast" selective search on a (H, W, 3) uint8 RGB picture -> (R, 4) float32.

    Like ours, it runs on a picture of at most 500 pixels, and its boxes are scaled back. Their
    order differs from call to call, because OpenCV ranks with C's rand(). Raises
    MissingPackageError if OpenCV has no ximgproc. Only its contrib builds have it.
    """
    if not hasattr(cv2, "ximgproc"):
        raise MissingPackageError(
            "The comparison with OpenCV's selective search", "opencv-contrib-python-headless"
        )
    height, width = image.shape[:2]
    shrink = min(1.0, MODES["fast"].work_size / max(height, width))
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    work = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrink < 1 else image
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(work, cv2.COLOR_RGB2BGR))
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes * np.array([width / size[0], height / size[1]] * 2, np.float32)


def compare_recall(
    dataset: Dataset,
    mode: str = "fast",
    limit: int = 2000,
    iou: float = 0.5,
    progress: Callable[[Iterable], Iterable] = iter,
    others: Mapping[str, ProposalSource] | None = None,
) -> Iterator[RecallRow]:
    """Recall of `others` by name, our proposals and OpenCV's, at most `limit` boxes a picture.

    progress: wraps the iteration over the pictures, for a progress bar. Raises DataError if there
    is no object to reach or a picture's size is not that of its annotation, ImageError for a
    picture that cannot be read, and MissingPackageError before OpenCV's row if OpenCV's build has
    no selective search.
    """
    if all(annotation.difficult.all() for annotation in dataset):
        raise DataError(f"{dataset.name} has no object that counts; use more or other pictures.")
    methods: dict[str, Callable[[Annotation, np.ndarray], np.ndarray]] = {
        **{name: partial(_from_source, source) for name, source in (others or {}).items()},
        f"fastrcnn, {mode}": lambda _, image: selective_search(image, mode).boxes,
        "OpenCV, fast": lambda _, image: opencv_selective_search(image),
    }
    for method, propose in methods.items():
        found, seconds = [], 0.0
        for annotation in progress(dataset):
            image = load_image(annotation.path)
            check_size(annotation, *image.shape[:2])
            start = time.perf_counter()
            found.append(propose(annotation, image))
            seconds += time.perf_counter() - start
        quality = proposal_recall(found, dataset, iou=iou, limit=limit)
        yield RecallRow(method, *quality, seconds / len(dataset))


def _from_source(source: ProposalSource, annotation: Annotation, image: np.ndarray) -> np.ndarray:
    return source.get(annotation)
