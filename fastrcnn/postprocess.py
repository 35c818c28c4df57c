"""From scored boxes to detections: threshold, suppression per class (section 2.2), box voting.

R proposals, K classes with background at 0, M candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections
from fastrcnn.runtime import torchvision_ops

PER_CLASS = 100  # detections kept per class and picture (the paper's code)


@dataclass(frozen=True)
class Decisions:
    """What became of every box that reached the score, class by class. M candidates.

    proposals, labels: (M,) int64, which proposal and as which class, within a class best first.
    scores: (M,). boxes: (M, 4), regressed. kept: (M,) bool.
    suppressed_by: (M,) int64, the candidate that non-maximum suppression kept instead, or -1. What
    is neither kept nor suppressed is over the limit of detections per class.
    overlaps: (M,) the IoU with that candidate, else 0.
    votes: (M,) int64, how many boxes had a say in where a kept one is, 0 without box voting.
    voted: (M, 4), where it is thereafter; the others as in `boxes`.
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


def select(
    probabilities: Tensor,
    regressed: Tensor,
    classes: tuple[str, ...],
    score: float,
    nms: float,
    vote: float | None = None,
) -> Detections:
    """Score threshold, then non-maximum suppression per class (paper, section 2.2), then the vote.

    probabilities: (R, K). regressed: (R, K, 4). At most 100 a class are kept, best first.
    """
    boxes, scores, labels = [], [], []
    for label, candidates, kept in _by_class(probabilities, regressed, score, nms):
        chosen = candidates[kept]
        boxes.append(_voted(probabilities, regressed, label, chosen, vote)[0])
        scores.append(probabilities[chosen, label])
        labels.append(torch.full((len(chosen),), label))
    order = torch.argsort(torch.cat(scores), descending=True, stable=True)
    return Detections(
        torch.cat(boxes)[order].numpy(),
        torch.cat(scores)[order].numpy(),
        torch.cat(labels)[order].numpy(),
        classes,
    )


def decide(
    probabilities: Tensor, regressed: Tensor, score: float, nms: float, vote: float | None = None
) -> Decisions:
    """What `select` does, with the reasons: every candidate, and which box suppressed it.

    probabilities: (R, K). regressed: (R, K, 4).
    """
    parts: list[tuple[Tensor, ...]] = []
    before = 0
    for label, candidates, kept in _by_class(probabilities, regressed, score, nms, limit=None):
        scores = probabilities[candidates, label]
        order = torch.argsort(scores, descending=True, stable=True)
        candidates, scores = candidates[order], scores[order]
        boxes = regressed[candidates, label]
        place = torch.argsort(order)  # of each candidate in the new order
        winners = place[kept]  # ascending: NMS gives the best first
        is_kept = torch.zeros(len(order), dtype=torch.bool)
        is_kept[winners[:PER_CLASS]] = True
        overlaps = box_ops.iou(boxes, boxes[winners])
        # The best kept box that overlaps it too much is the one that suppressed it.
        # In double, as torchvision compares: a float32 of 0.3 is above 0.3.
        over = overlaps.double() > nms
        first = over.int().argmax(dim=1) if len(winners) else torch.zeros(len(order)).long()
        is_suppressed = over.any(dim=1)
        is_suppressed[winners] = False
        suppressed_by = torch.where(is_suppressed, winners[first] + before, -1)
        overlap = torch.where(is_suppressed, overlaps.gather(1, first[:, None])[:, 0], 0.0)
        labels = torch.full((len(order),), label)
        votes, voted = torch.zeros(len(order), dtype=torch.int64), boxes.clone()
        voted[is_kept], votes[is_kept] = _voted(
            probabilities, regressed, label, candidates[is_kept], vote
        )
        verdicts = (is_kept, suppressed_by, overlap, votes, voted)
        parts.append((candidates, labels, scores, boxes, *verdicts))
        before += len(order)
    return Decisions(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _by_class(
    probabilities: Tensor,
    regressed: Tensor,
    score: float,
    nms: float,
    limit: int | None = PER_CLASS,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each class: its label, the proposals that reach the score, and which of them NMS keeps."""
    for label in range(1, probabilities.shape[1]):
        candidates = torch.nonzero(probabilities[:, label] >= score).squeeze(1)
        kept = torchvision_ops.nms(
            regressed[candidates, label], probabilities[candidates, label], nms
        )
        yield label, candidates, kept[:limit]


def _voted(
    probabilities: Tensor, regressed: Tensor, label: int, kept: Tensor, vote: float | None
) -> tuple[Tensor, Tensor]:
    """Boxes (M, 4) of the proposals `kept` as `label`, and how many (M,) voted for each.

    Every proposal's box for that class has a say, however low its score: the threshold, which is
    for the eye, must not move boxes.
    """
    boxes = regressed[:, label]
    if vote is None:
        return boxes[kept], torch.zeros(len(kept), dtype=torch.int64)
    return box_ops.vote(boxes[kept], boxes, probabilities[:, label], vote)
