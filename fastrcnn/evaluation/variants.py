"""Ways of detecting with one trained network, tried on the same pictures and feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.model import FastRCNN, Resize, compress
from fastrcnn.model.head import Head, LowRankLinear
from fastrcnn.model.pyramid import Scale
from fastrcnn.model.roi_pool import POOLINGS
from fastrcnn.postprocess import Selection
from fastrcnn.proposals.dense import dense_boxes

_SCORE_THRESHOLD = 0.01
# The paper has no score threshold. This one leaves out what would come last in any ranking.
AS_IN_THE_PAPER = Selection(
    score_threshold=_SCORE_THRESHOLD, nms_threshold=0.3, vote_threshold=None
)
UNCHANGED = ""  # the name of the unchanged network


@dataclass(frozen=True)
class Variant:
    """One way of detecting.

    network: which of several forms of the network. proposals: how many of the picture's proposals
    are scored, the best ones. dense: how many dense boxes are scored besides. regress: whether
    boxes are moved by their deltas. selection: what is kept; `proposals` stands for its own number.
    """

    network: str = UNCHANGED
    proposals: int = 2000
    dense: int = 0
    regress: bool = True
    selection: Selection = AS_IN_THE_PAPER


class Found(NamedTuple):
    """What one variant found in a picture, and the time of the network without the proposals."""

    detections: Detections
    seconds: float


def detect_variants(
    networks: Mapping[str, Detector],
    variants: Mapping[str, Variant],
    image: np.ndarray,
    proposals: np.ndarray,
) -> dict[str, Found]:
    """What each variant finds in a (H, W, 3) uint8 RGB picture with proposals (R, 4).

    Each network scores the boxes of all its variants together. Networks that resize pictures alike
    have the same convolutions and share their maps.
    """
    found: dict[str, Found] = {}
    # By the way of resizing: the maps with their scales, and the seconds that they took.
    known: dict[Resize, tuple[tuple[Tensor, tuple[Scale, ...]], float]] = {}
    for name in dict.fromkeys(variant.network for variant in variants.values()):
        detector = networks[name]
        own = {key: variant for key, variant in variants.items() if variant.network == name}
        searched = proposals[: max(variant.proposals for variant in own.values())]
        dense = dense_boxes(image)[: max(variant.dense for variant in own.values())]
        boxes = np.concatenate([searched, dense])
        resize = detector.model.config.resize
        maps = known[resize][0] if resize in known else None
        trace = detector.trace(image, boxes=boxes, max_proposals=len(boxes), features=maps)
        if maps is None:
            known[resize] = (trace.features, trace.scales), trace.seconds["features"]
        still = box_ops.clip(trace.boxes, *image.shape[:2])[:, None].expand_as(trace.regressed)
        for key, variant in own.items():
            rows = torch.cat(
                [
                    torch.arange(min(variant.proposals, len(searched))),
                    torch.arange(min(variant.dense, len(dense))) + len(searched),
                ]
            )
            places = trace.regressed if variant.regress else still
            detections = variant.selection.select(
                trace.probabilities[rows], places[rows], detector.classes
            )
            taken = known[resize][1] + trace.seconds["head"] + trace.seconds["nms"]
            found[key] = Found(detections, taken)
    return found


def changed_networks(detector: Detector) -> dict[str, Detector]:
    """The unchanged network; each other RoI pooling; fc6 and fc7 at 1/2 and 1/4 of their rank."""
    own = detector.model
    models = {UNCHANGED: own}
    for pooling in POOLINGS:
        if pooling != own.config.pooling:
            model = FastRCNN(own.config.but(pooling=pooling), own.backbone)
            model.head.load_state_dict(own.head.state_dict())
            models[f"RoI pooling: {pooling}"] = model
    for name in ("fc6", "fc7"):
        full = rank(own.head, name)
        for lower in (full // 2, full // 4):
            if lower:
                ranks = {"fc6_rank": None, "fc7_rank": None} | {f"{name}_rank": lower}
                models[f"truncated SVD: {name} of rank {lower}"] = compress(own, **ranks)
    return {name: Detector(model, precision=detector.precision) for name, model in models.items()}


def rank(head: Head, name: str) -> int:
    """The rank of fc6 or fc7."""
    layer = getattr(head, name)
    return layer.rank if isinstance(layer, LowRankLinear) else min(layer.weight.shape)


def ablations(networks: Mapping[str, Detector]) -> dict[str, Variant]:
    """What each part of a detector is worth: as it is, and changed in one thing at a time.

    networks: from `changed_networks`.
    """
    selection = Selection(score_threshold=_SCORE_THRESHOLD)
    usual = Variant(selection=selection)
    unvoted = selection.but(vote_threshold=None)
    found = {
        "as it is": usual,
        "box regression: off": replace(usual, regress=False),
        "box voting: off": Variant(selection=unvoted),
        "box regression and voting: off": Variant(regress=False, selection=unvoted),
    }
    for least in (0.001, 0.05, 0.1, 0.5):
        other = selection.but(score_threshold=least)
        found[f"score threshold: {least:g}"] = replace(usual, selection=other)
    for name in networks:
        if name != UNCHANGED:
            found[name] = replace(usual, network=name)
    return found
