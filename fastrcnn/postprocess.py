"""From scored boxes to detections: threshold, suppression per class (section 2.2), box voting.

R proposals, K classes with background at 0, M candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections
from fastrcnn.runtime import torchvision_ops
from fastrcnn.runtime.settings import Settings

PER_CLASS = 100  # detections kept per class and picture (the paper's code)

_Share = Annotated[float, Field(ge=0, le=1)]


class Selection(Settings):
    """Which of a picture's boxes are scored, and which of those become detections.

    Raises RecipeError for a value that cannot work.
    """

    max_proposals: Annotated[int, Field(gt=0)] = 2000
    """How many of the proposals are scored, the best-ranked ones."""

    score_threshold: _Share = 0.5
    """The least probability of a detection."""

    nms_threshold: _Share = 0.35
    """A box is dropped if its IoU with a better box of its class is above this. The paper has 0.3.
    Here 0.35 was chosen on held-out pictures (the model card has the figures)."""

    vote_threshold: _Share | None = 0.5
    """Each remaining box moves to the mean, weighted by probability, of all boxes of its class that
    overlap it by at least this IoU, dropped ones included. None leaves it at its regressed place,
    as in the paper."""

    retry: _Share | None = None
    """If no box reaches the score threshold, the single best box with at least this probability is
    kept, as in the walk-through."""

    def select(
        self, probabilities: Tensor, regressed: Tensor, classes: tuple[str, ...]
    ) -> Detections:
        """The detections, best first.

        probabilities: (R, K). regressed: (R, K, 4). classes: the K-1 names.
        """
        limits = self.nms_threshold, self.vote_threshold
        found = select(probabilities, regressed, classes, self.score_threshold, *limits)
        if self.retry is not None and not len(found):
            found = select(probabilities, regressed, classes, self.retry, *limits).first(1)
        return found


@dataclass(frozen=True)
class Decisions:
    """The decision on every box that reached the score threshold, class by class. M candidates.

    proposals, labels: (M,) int64, the proposal and the class of each candidate. Within a class the
    best comes first.
    scores: (M,). boxes: (M, 4), regressed. kept: (M,) bool.
    suppressed_by: (M,) int64, the candidate that non-maximum suppression kept instead, or -1. A
    candidate that is neither kept nor suppressed is over the limit of detections per class.
    overlaps: (M,) the IoU with the candidate in `suppressed_by`, else 0.
    votes: (M,) int64, how many boxes voted on the place of a kept box; 0 without box voting.
    voted: (M, 4), the kept boxes after voting; the others as in `boxes`.
    """

    proposals: Tensor
    labels: Tensor
    scores: Tensor
    boxes: Tensor
    kept: Tensor
    suppressed_by: Tensor
    overlaps: Tensor
    votes: Tensor
    voted: Tensor

    def detections(self, classes: tuple[str, ...]) -> Detections:
        """The kept ones, best first, with the names of the K-1 classes."""
        # Copied as one tensor, so that we wait for a GPU only once.
        columns = torch.column_stack([self.kept, self.labels, self.scores, self.voted])
        kept, labels, scores, *_ = rows = columns.cpu().numpy().T  # (7, M)
        chosen = np.flatnonzero(kept)
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        boxes = np.ascontiguousarray(rows[3:, chosen].T)
        return Detections(boxes, scores[chosen], labels[chosen].astype(np.int64), classes)


def select(
    probabilities: Tensor,
    regressed: Tensor,
    classes: tuple[str, ...],
    score_threshold: float,
    nms_threshold: float,
    vote_threshold: float | None = None,
) -> Detections:
    """The detections that `decide` keeps, best first.

    probabilities: (R, K). regressed: (R, K, 4). classes: the K-1 names.
    """
    made = decide(probabilities, regressed, score_threshold, nms_threshold, vote_threshold)
    return made.detections(classes)


def decide(
    probabilities: Tensor,
    regressed: Tensor,
    score_threshold: float,
    nms_threshold: float,
    vote_threshold: float | None = None,
) -> Decisions:
    """Score threshold, non-maximum suppression per class (paper, section 2.2), then box voting.

    probabilities: (R, K). regressed: (R, K, 4). score_threshold: the least probability of a
    candidate. nms_threshold: a box is suppressed if its IoU with a better box of its class is above
    this. vote_threshold: a box votes on the place of a kept box if their IoU is at least this; None
    for no vote. At most 100 boxes per class are kept. The result says why each box was kept or not.
    """
    reaches = probabilities.T[1:] >= score_threshold  # (K-1, R)
    labels, proposals = reaches.nonzero(as_tuple=True)
    labels = labels + 1
    scores = probabilities[proposals, labels]
    order = scores.argsort(descending=True, stable=True)
    order = order[labels[order].argsort(stable=True)]
    proposals, labels, scores = proposals[order], labels[order], scores[order]
    boxes = regressed[proposals, labels]

    kept = torch.zeros_like(labels, dtype=torch.bool)
    # Each class fills its own part of these two.
    suppressed_by, overlaps = torch.empty_like(labels), torch.empty_like(scores)
    votes, voted = torch.zeros_like(labels), boxes.clone()
    first = 0
    for label, count in enumerate(reaches.sum(dim=1).tolist(), start=1):
        if not count:
            continue
        own = slice(first, first + count)
        winners, suppressed_by[own], overlaps[own] = _suppress(
            boxes[own], scores[own], nms_threshold, first
        )
        winners = winners[:PER_CLASS] + first
        kept.index_fill_(0, winners, True)
        if vote_threshold is not None:
            # Every proposal's box for this class votes, even with a low score. The score threshold
            # decides what is shown. It must not move boxes.
            voted[winners], votes[winners] = box_ops.vote(
                boxes[winners], regressed[:, label], probabilities[:, label], vote_threshold
            )
        first += count
    return Decisions(proposals, labels, scores, boxes, kept, suppressed_by, overlaps, votes, voted)


def _suppress(
    boxes: Tensor, scores: Tensor, nms_threshold: float, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Non-maximum suppression of one class's boxes (N, 4), best first.

    Returns the indices of the boxes that win. Then, for each of the N boxes, the winner that
    suppressed it, counted from `first`, or -1. Last, the IoU with that winner, or 0.
    """
    winners = torchvision_ops.nms(boxes, scores, nms_threshold)
    overlaps = box_ops.iou(boxes, boxes[winners])
    # A box is suppressed by the best winner that overlaps it too much.
    which = (overlaps > _rounded_down(nms_threshold)).int().argmax(dim=1)
    by = (winners[which] + first).index_fill_(0, winners, -1)
    overlap = overlaps.gather(1, which[:, None])[:, 0].index_fill_(0, winners, 0)
    return winners, by, overlap


def _rounded_down(threshold: float) -> float:
    """The largest float32 that is not above `threshold`.

    What is above the one is above the other. torchvision compares in double, where the float32 of
    0.3 is above 0.3; not every device has doubles.
    """
    rounded = np.float32(threshold)
    above = float(rounded) > threshold
    return float(np.nextafter(rounded, np.float32(-np.inf)) if above else rounded)
