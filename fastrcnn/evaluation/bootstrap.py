"""How far a sample of pictures can be trusted: mAP and its spread by the bootstrap.

The pictures are drawn many times with replacement, and the spread of a number over the draws is its
standard error. Ways of detecting that were tried on the same pictures are compared on the same
draws. Their difference is then far more certain than each mAP alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastrcnn.data import Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.average_precision import (
    Matches,
    average_precision,
    match,
    score_detections,
)

_DRAWS = 200
_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Score:
    """The mAP of some detections, the mean over classes.

    mean_ap: the area under the curve at IoU 0.5. eleven_point: the mean precision at 11 recalls, as
    VOC2007 has it. coco: the area, averaged over the IoUs 0.5 to 0.95. drawn: (D,) mean_ap on D
    draws of the pictures, NaN where no object was drawn. boxes: detections a picture.
    """

    mean_ap: float
    eleven_point: float
    coco: float
    drawn: np.ndarray
    boxes: float

    @property
    def error(self) -> float:
        """The standard error of mean_ap."""
        return _spread(self.drawn)

    def difference(self, other: Score) -> tuple[float, float]:
        """How much higher mean_ap is than the other's on the same pictures, and its error."""
        return self.mean_ap - other.mean_ap, _spread(self.drawn - other.drawn)


def bootstrap(detections: Mapping[str, Detections], dataset: Dataset) -> Score:
    """Score detections, given by image id. A data set is always drawn in the same way."""
    random = np.random.default_rng(0)
    share = np.full(len(dataset), 1 / len(dataset))
    # How often each picture comes.
    draws = random.multinomial(len(dataset), share, _DRAWS)
    matches = [match(detections, dataset, k + 1) for k in range(len(dataset.classes))]
    scored = score_detections(detections, dataset)
    return Score(
        mean_ap=scored.map_area,
        eleven_point=scored.map_11point,
        coco=scored.map_coco,
        drawn=np.array([drawn_mean_ap(matches, dataset, times) for times in draws]),
        boxes=float(np.mean([len(detections[item.image_id]) for item in dataset])),
    )


def _spread(drawn: np.ndarray) -> float:
    """The standard deviation of the numbers that are not NaN; NaN if all are."""
    known = drawn[~np.isnan(drawn)]
    return float(known.std()) if known.size else math.nan


def drawn_mean_ap(matches: Sequence[Matches], dataset: Dataset, times: np.ndarray) -> float:
    """mAP when picture i is in the data set `times[i]` times. times: (N,).

    matches: one for each class. A class without a drawn object is left out. NaN if no class is
    left.
    """
    scored = []
    for label, found in enumerate(matches, start=1):
        counted = [((item.labels == label) & ~item.difficult).sum() for item in dataset]
        positives = int(np.dot(counted, times))
        if not positives:
            continue
        right, ignored = found.judged(_IOU)
        weights = times[found.image]
        hits = np.cumsum(right * weights)
        seen = np.cumsum(~ignored * weights)
        drawn = seen > 0
        scored.append(average_precision(hits[drawn] / positives, hits[drawn] / seen[drawn], False))
    return float(np.mean(scored)) if scored else math.nan
