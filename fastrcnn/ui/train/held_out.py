"""What the network of a training makes of the held-out pictures, again and again as it learns.

K classes with background at 0, R proposals of a picture, n of them followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fastrcnn.boxes import iou
from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.evaluation.average_precision import best_precision, match, score_detections
from fastrcnn.images import load_image
from fastrcnn.model import FastRCNN
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.training.records import Progress

SHOWN_SCENES = 4  # held-out pictures whose detections are shown as the model learns
_EVALUATED = 50  # held-out pictures on which mAP is measured
_LEAST_SCORE = 0.05  # of a measured detection; lower scores hardly change an average precision
_IOU = 0.5  # of a detection that counts as right, and of a box that counts as foreground
_FOLLOWED_OBJECTS = 6  # of each shown picture, the largest ones
_MOST_LOOKS = 100  # kept of each followed box; of more, every second one is forgotten
_SHARE = 4.0  # detecting and measuring get at most a fifth of the time


class Rhythm:
    """Repeats some work after a pause of `seconds`, or longer if the work itself takes long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def keep(self, work: Callable[[], None]) -> None:
        """Do the work if its time has come."""
        started = time.monotonic()
        if started >= self._next:
            work()
            ended = time.monotonic()
            self._next = ended + max(self._seconds, _SHARE * (ended - started))


@dataclass(frozen=True)
class Scenes:
    """The held-out pictures and what was found on each after `iteration` steps."""

    iteration: int
    found: tuple[Detections, ...]


@dataclass(frozen=True)
class Look:
    """What the network made of the followed boxes of a picture after `iteration` steps.

    probabilities: (n, K). regressed: (n, K, 4), in pixels of the picture.
    """

    iteration: int
    probabilities: Tensor
    regressed: Tensor


@dataclass(frozen=True)
class Followed:
    """Proposals of one held-out picture that are followed from the first step to the last.

    indices: (n,) int64, their ranks. boxes: (n, 4). labels: (n,) int64, the class of the object
    that each overlaps most, 0 if the IoU is below 0.5. overlaps: (n,), that IoU. nearest: (n,)
    int64, that object; -1 in a picture without objects.
    """

    indices: Tensor
    boxes: Tensor
    labels: Tensor
    overlaps: Tensor
    nearest: Tensor
    looks: list[Look] = field(default_factory=list)

    def note(self, iteration: int, trace: Trace) -> None:
        """Keep what a trace says about the boxes; it replaces a look at the same iteration."""
        seen = trace.probabilities[self.indices], trace.regressed[self.indices]
        if self.looks and self.looks[-1].iteration == iteration:
            self.looks.pop()
        self.looks.append(Look(iteration, *seen))
        if len(self.looks) > _MOST_LOOKS:
            del self.looks[1::2]


@dataclass(frozen=True)
class PrecisionRecall:
    """The curves behind the average precisions that were measured after `iteration` steps.

    curves: for each class with an object recall, precision and the best precision from each
    detection on, (D,) each.
    """

    iteration: int
    curves: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


class HeldOut:
    """The held-out pictures of one training.

    pictures: those on which mAP is measured; detections are shown on the first few of them.
    scenes, followed, precision_recall: the newest results.
    """

    def __init__(self, dataset: Dataset | None, proposals: ProposalCache) -> None:
        self.pictures: tuple[Annotation, ...] = tuple(dataset or ())[:_EVALUATED]
        self.scenes: Scenes | None = None
        self.precision_recall: PrecisionRecall | None = None
        self._proposals = proposals
        shown = self.pictures[:SHOWN_SCENES]
        self._pixels = [load_image(item.path) for item in shown]
        self.followed = tuple(
            choose_followed(torch.from_numpy(proposals.get(item)), item) for item in shown
        )

    def look(self, model: FastRCNN, iteration: int) -> None:
        """Detect on the shown pictures."""
        found = []
        for annotation, image, followed in zip(
            self.pictures, self._pixels, self.followed, strict=False
        ):
            trace = self._trace(model, annotation, image)
            followed.note(iteration, trace)
            found.append(trace.detections)
        self.scenes = Scenes(iteration, tuple(found))

    def measure(self, model: FastRCNN, iteration: int) -> Iterator[Progress | dict]:
        """Measure average precision: a `Progress` for each picture, then the result.

        The result is ``{"iteration", "map", "ap", "before", "after"}``; the last two are the mean
        IoU of all foreground proposals with their objects, before and after regression, None if
        there is no foreground. There must be held-out pictures.
        """
        found, before, after = {}, [], []
        for done, annotation in enumerate(self.pictures, start=1):
            trace = self._trace(model, annotation, load_image(annotation.path))
            found[annotation.image_id] = trace.detections
            overlaps = regression_overlaps(trace, annotation)
            before += overlaps[0].tolist()
            after += overlaps[1].tolist()
            yield Progress("mAP", done, len(self.pictures))
        dataset = Dataset("held-out pictures", model.config.classes, self.pictures)
        curves = {}
        for label, name in enumerate(dataset.classes, start=1):
            matches = match(found, dataset, label)
            if matches.positives:
                recall, precision = matches.curve(_IOU)
                curves[name] = recall, precision, best_precision(precision)
        self.precision_recall = PrecisionRecall(iteration, curves)
        scores = score_detections(found, dataset, _IOU).to_json_dict()
        yield {
            "iteration": iteration,
            "map": scores["map_area"],
            "ap": scores["ap"],
            "before": float(np.mean(before)) if before else None,
            "after": float(np.mean(after)) if after else None,
        }

    def _trace(self, model: FastRCNN, annotation: Annotation, image: np.ndarray) -> Trace:
        boxes = self._proposals.get(annotation)
        return Detector(model).trace(image, score_threshold=_LEAST_SCORE, boxes=boxes)


def regression_overlaps(trace: Trace, annotation: Annotation) -> tuple[Tensor, Tensor]:
    """The IoU of each foreground proposal with its object before and after regression, (F,) each.

    Each is moved as bbox_pred says for the object's class. mAP asks only for IoU 0.5, which a
    foreground proposal has before; this shows what the box regression adds.
    """
    objects = torch.from_numpy(annotation.boxes)
    if not len(objects):
        return objects.new_zeros(0), objects.new_zeros(0)
    overlaps, nearest = iou(trace.boxes, objects).max(dim=1)
    own = torch.nonzero(overlaps >= _IOU).flatten()
    labels = torch.from_numpy(annotation.labels)[nearest[own]]
    regressed = iou(trace.regressed[own, labels], objects)
    return overlaps[own], regressed[torch.arange(len(own)), nearest[own]]


def choose_followed(boxes: Tensor, annotation: Annotation) -> Followed:
    """Which of a picture's proposals (R, 4) to follow.

    For each of the largest objects: the proposal that overlaps it most, and the one that overlaps
    it least and is still foreground, because its corners have a long way to go. Also the
    best-ranked proposal that shows no object.
    """
    objects = torch.from_numpy(annotation.boxes)
    if not len(objects):
        chosen = torch.arange(min(len(boxes), 1))
        nowhere = torch.full_like(chosen, -1)
        return Followed(
            chosen, boxes[chosen], torch.zeros_like(chosen), boxes.new_zeros(len(chosen)), nowhere
        )
    every = iou(boxes, objects)  # (R, G)
    overlaps, nearest = every.max(dim=1)
    areas = (objects[:, 2:] - objects[:, :2]).prod(dim=1)
    ranks: list[int] = []
    for number in areas.argsort(descending=True, stable=True)[:_FOLLOWED_OBJECTS].tolist():
        own = torch.nonzero((nearest == number) & (overlaps >= _IOU)).flatten()
        if len(own):
            ranks += [int(own[overlaps[own].argmin()]), int(own[overlaps[own].argmax()])]
    ranks += torch.nonzero(overlaps < 0.1).flatten()[:1].tolist()
    chosen = torch.tensor(list(dict.fromkeys(ranks)), dtype=torch.int64)
    labels = torch.from_numpy(annotation.labels)[nearest[chosen]]
    return Followed(
        indices=chosen,
        boxes=boxes[chosen],
        labels=torch.where(overlaps[chosen] >= _IOU, labels, 0),
        overlaps=overlaps[chosen],
        nearest=nearest[chosen],
    )
