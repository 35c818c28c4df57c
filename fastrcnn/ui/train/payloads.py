"""What the Train tab shows of a training's records, as plain values for JSON."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastrcnn.images import load_image
from fastrcnn.training.batches import Sample
from fastrcnn.training.records import Outcome
from fastrcnn.ui.explore.payloads import numbers, picture
from fastrcnn.ui.train.held_out import Followed, PrecisionRecall


def sample(part: Sample, outcome: Outcome) -> dict:
    """One picture of a mini-batch with its RoIs, foreground first.

    deltas: the box targets as they are. targets: the same, normalised. predicted: what bbox_pred
    gave for the RoI's class, normalised. All three are None for background.
    """
    image = load_image(part.path)
    if part.flipped:
        image = np.ascontiguousarray(image[:, ::-1])
    is_object = part.labels > 0

    def of_objects(values: np.ndarray) -> list:
        rounded = _rounded(values, 4)
        return [row if there else None for row, there in zip(rounded, is_object, strict=True)]

    return picture(image) | {
        "name": part.path.name,
        "flipped": part.flipped,
        "boxes": _rounded(part.boxes, 1),
        "labels": part.labels.tolist(),
        "overlaps": _rounded(part.overlaps, 3),
        "deltas": of_objects(part.deltas),
        "targets": of_objects(outcome.targets),
        "predicted": of_objects(outcome.predicted),
        "losses_cls": _rounded(outcome.losses_cls, 4),
        "losses_loc": _rounded(outcome.losses_loc, 4),
    }


def followed(boxes: Followed) -> dict:
    """The boxes of a held-out picture that are followed through training."""
    return {
        "boxes": numbers(boxes.boxes, 1),
        "labels": boxes.labels.tolist(),
        "overlaps": numbers(boxes.overlaps, 3),
        "nearest": boxes.nearest.tolist(),
    }


def history(boxes: Followed, index: int) -> dict:
    """What the network made of one followed box, look by look.

    corners: where the box is moved for its own class, or for the likeliest class of objects if it
    shows no object.
    """
    looks = list(boxes.looks)  # the training may add to it meanwhile
    label = int(boxes.labels[index])
    probabilities = [look.probabilities[index] for look in looks]
    labels = [label or int(scores[1:].argmax()) + 1 for scores in probabilities]
    corners = [look.regressed[index, own] for look, own in zip(looks, labels, strict=True)]
    return {
        "iterations": [look.iteration for look in looks],
        "probabilities": numbers(_stacked(probabilities), 4),
        "corner_labels": labels,
        "corners": numbers(_stacked(corners), 1),
    }


def precision_recall(measured: PrecisionRecall) -> dict:
    """The curve of each class: recall, precision, and the best precision from each point on."""
    return {
        "iteration": measured.iteration,
        "curves": {
            name: dict(zip(("recall", "precision", "best"), map(_rounded, parts), strict=True))
            for name, parts in measured.curves.items()
        },
    }


def _rounded(values: np.ndarray, digits: int = 4) -> list:
    return np.round(values.astype(float), digits).tolist()


def _stacked(rows: list[Tensor]) -> Tensor:
    return torch.stack(rows) if rows else torch.zeros(0)
