"""What each part of a trained detector is worth: the paper's small tables, on your own pictures.

Every variant sees the same pictures, and most see the same feature maps. So the differences are far
more certain than the mAPs themselves. The bootstrap measures this: the pictures are drawn many
times with replacement, and the spread of a difference over the draws is its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.evaluation.average_precision import Matches, average_precision, match
from fastrcnn.images import load_image
from fastrcnn.model import FastRCNN, compress
from fastrcnn.model.head import Head, LowRankLinear
from fastrcnn.model.roi_pool import POOLINGS
from fastrcnn.postprocess import Selection, select
from fastrcnn.proposals.cache import ProposalSource
from fastrcnn.runtime import distributed

_USUAL = Selection()
_MOST = 4000  # proposals
_COUNTS = (300, 1000, _MOST)
_SCORE_THRESHOLD = 0.01
_SCORE_THRESHOLDS = (0.001, 0.05, 0.1, 0.5)
_RANK_SHARES = (1 / 2, 1 / 4)  # shares of fc6's present rank
_DRAWS = 200
_IOU = 0.5


@dataclass(frozen=True)
class AblationRow:
    """One variant. mean_ap: the area under the curve at IoU 0.5, averaged over classes.

    difference: from the unchanged detector's mean_ap. error: the standard error of the difference.
    boxes: the average number of detections a picture.
    """

    table: str
    variant: str
    mean_ap: float
    difference: float
    error: float
    boxes: float


# A picture's detections by table and variant.
Variants = dict[tuple[str, str], Detections]


def ablate(
    detector: Detector,
    dataset: Dataset,
    proposals: ProposalSource,
    others: Mapping[str, Detector] | None = None,
    progress: Callable[[Sequence[Annotation]], Iterable[Annotation]] = iter,
    only_others: bool = False,
) -> list[AblationRow]:
    """Score `detector` unchanged, and with one change at a time.

    others: further detectors by the name of their row. progress: wraps the iteration over the
    pictures. only_others: change nothing and compare only with the others. The first row is the
    unchanged detector. In a group of processes each takes its share of the pictures, and all of
    them return all rows. Raises DataError, ImageError.
    """
    changed = None if only_others else _changed_heads(detector)
    mine = dataset.annotations[distributed.rank() :: distributed.world_size()]
    found = {
        annotation.image_id: _variants(
            detector, changed, others or {}, load_image(annotation.path), proposals.get(annotation)
        )
        for annotation in progress(mine)
    }
    everything: dict[str, Variants] = {}
    for part in distributed.gather_objects(found):
        everything |= part
    return _rows(everything, dataset)


def _changed_heads(detector: Detector) -> dict[tuple[str, str], Detector]:
    """The detector with another RoI pooling or a head of lower rank."""
    own = detector.model
    models = {}
    for pooling in POOLINGS:
        if pooling != own.config.pooling:
            model = FastRCNN(own.config.but(pooling=pooling), own.backbone)
            model.head.load_state_dict(own.head.state_dict())
            models["RoI pooling", pooling] = model
    for name in ("fc6", "fc7"):
        rank = _rank(own.head, name)
        for share in _RANK_SHARES:
            lower = max(round(rank * share), 1)
            if lower < rank:
                ranks = [lower if name == layer else None for layer in ("fc6", "fc7")]
                models["truncated SVD", f"{name} of rank {lower}"] = compress(own, *ranks)
    return {key: Detector(model, precision=detector.precision) for key, model in models.items()}


def _rank(head: Head, name: str) -> int:
    layer = getattr(head, name)
    return layer.rank if isinstance(layer, LowRankLinear) else min(layer.weight.shape)


def _variants(
    detector: Detector,
    changed: Mapping[tuple[str, str], Detector] | None,
    others: Mapping[str, Detector],
    image: np.ndarray,
    boxes: np.ndarray,
) -> Variants:
    trace = detector.trace(image, boxes=boxes, max_proposals=_MOST)

    def chosen(
        of: Trace,
        count: int = _USUAL.max_proposals,
        score_threshold: float = _SCORE_THRESHOLD,
        vote_threshold: float | None = _USUAL.vote_threshold,
        regressed: Tensor | None = None,
    ) -> Detections:
        places = of.regressed if regressed is None else regressed
        return select(
            of.probabilities[:count],
            places[:count],
            detector.classes,
            score_threshold,
            _USUAL.nms_threshold,
            vote_threshold,
        )

    found = {("", "as it is"): chosen(trace)}
    for name, other in others.items():
        found["other detectors", name] = chosen(other.trace(image, boxes=boxes))
    if changed is None:
        return found
    still = box_ops.clip(trace.boxes, *image.shape[:2])[:, None].expand_as(trace.regressed)
    found["box regression", "off"] = chosen(trace, regressed=still)
    found["box voting", "off"] = chosen(trace, vote_threshold=None)
    found["box regression and voting", "off"] = chosen(trace, vote_threshold=None, regressed=still)
    for count in _COUNTS:
        found["proposals", f"at most {count}"] = chosen(trace, count)
    for least in _SCORE_THRESHOLDS:
        found["score threshold", f"{least:g}"] = chosen(trace, score_threshold=least)
    known = trace.features, trace.scales
    for key, other in changed.items():
        found[key] = chosen(other.trace(image, boxes=boxes, features=known))
    return found


def _rows(found: Mapping[str, Variants], dataset: Dataset) -> list[AblationRow]:
    random = np.random.default_rng(0)
    # How often each picture is drawn. In the first draw each picture comes once.
    share = np.full(len(dataset), 1 / len(dataset))
    draws = [np.ones(len(dataset), int), *random.multinomial(len(dataset), share, _DRAWS)]
    rows, standard = [], None
    for key in next(iter(found.values())):
        detections = {image_id: variants[key] for image_id, variants in found.items()}
        matches = [match(detections, dataset, k + 1) for k in range(len(dataset.classes))]
        scored = np.array([drawn_mean_ap(matches, dataset, times) for times in draws])
        standard = scored if standard is None else standard
        difference = scored - standard
        boxes = float(np.mean([len(item) for item in detections.values()]))
        rows.append(AblationRow(*key, scored[0], difference[0], float(difference[1:].std()), boxes))
    return rows


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
