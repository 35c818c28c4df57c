"""Replies to the views that stand beside the stations, each with an experiment on the chosen box.

K classes with background at 0, C channels of an h x w map, S x S bins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from threading import BoundedSemaphore

import numpy as np
import torch
from torch import nn

from fastrcnn.detector import Detector, Inspection, Trace
from fastrcnn.explanations.gradient import BoxGradient, box_gradient
from fastrcnn.explanations.occlusion import occlude
from fastrcnn.explanations.rcnn import crops, one_pass
from fastrcnn.explanations.rounding import moved, scores_with, shifts_of
from fastrcnn.model.head import LowRankLinear
from fastrcnn.model.roi_pool import POOLINGS
from fastrcnn.model.svd import full_rank, multiply_adds, multiply_adds_undivided
from fastrcnn.postprocess import select
from fastrcnn.ui.explore import payloads
from fastrcnn.ui.explore.requested import chosen_box, selection, traced
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.sessions import Analyses
from fastrcnn.ui.shared.inputs import box, whole

_CROPS = 2  # R-CNN's boxes in a reply: a fraction of a second, so that leaving stops it at once
_AXES = 2  # right, down
_LAYERS = ("fc6", "fc7")  # the layers that truncated SVD divides
_REPEATS = 3  # of a measured scoring
# If others use all places for longer than this, the view asks again. A request waits here at first,
# because R-CNN asks for its next boxes at once and nobody else would get a place.
_WAIT = 1.0  # seconds
_BUSY = {"busy": True}


class Explanations:
    """What the browser may request beside `_Server`'s functions, with the same kind of inputs."""

    def __init__(self, analyses: Analyses, limits: Limits) -> None:
        self._analyses = analyses
        self._places = BoundedSemaphore(limits.experiments)

    def functions(self) -> list[Callable[[dict], dict]]:
        """The functions, each from its inputs to its reply."""
        return [
            *(self.occlusion, self.gradient, self.rcnn),
            *(self.forms, self.shifts, self.ranks, self.compressed),
        ]

    def occlusion(self, inputs: dict) -> dict:
        """The scores of a box as it is, and without each bin and each of the strongest channels."""
        detector, trace = traced(self._analyses, inputs)
        seen = self._seen(inputs, detector, trace, inputs.get("pooling"))
        channels = payloads.strongest(seen.pooled)
        if not self._places.acquire(timeout=_WAIT):
            return _BUSY
        try:
            found = occlude(detector.model.head, seen.pooled, torch.tensor(channels))
        finally:
            self._places.release()
        return {
            "scores": payloads.numbers(found.whole, 4),
            "bins": payloads.numbers(found.bins, 4),
            "channels": channels,
            "without_channel": payloads.numbers(found.channels, 4),
        }

    def gradient(self, inputs: dict) -> dict:
        """The loss of a box for a true class and a true box, and where its gradient goes.

        channel: one channel's gradient, or None for the sum of the sizes in all channels.
        """
        detector, trace = traced(self._analyses, inputs)
        label = whole(inputs.get("label"), "label", len(detector.classes) + 1)
        channel = inputs.get("channel")
        if channel is not None:
            channel = whole(channel, "channel", trace.features.shape[1])
        true_box = box(inputs.get("truth"), *trace.image.shape[:2])
        seen = self._seen(inputs, detector, trace, _maximum_kind(inputs, detector))
        aligned = self._seen(inputs, detector, trace, "align")
        found = box_gradient(detector, trace, seen, label, true_box)
        return {
            "pooling": seen.pooling,
            "loss": {
                name: payloads.significant(part, 6) for name, part in found.loss._asdict().items()
            },
            "probability": payloads.significant(seen.probabilities[label]),
            "predicted": payloads.numbers(found.predicted, 4),
            "target": payloads.numbers(found.target, 4),
            "own": _gradient_map(found, channel),
            "align": _gradient_map(
                box_gradient(detector, trace, aligned, label, true_box), channel
            ),
            "bins": None if channel is None else payloads.significant(found.bins[channel]),
            "winners": None
            if channel is None or seen.argmax is None
            else seen.argmax[channel].tolist(),
        }

    def rcnn(self, inputs: dict) -> dict:
        """The next few boxes as R-CNN computes them, from the rank `first` on.

        once: the seconds of Fast R-CNN's one pass, measured now, with the first boxes only.
        """
        detector, trace = traced(self._analyses, inputs)
        first = whole(inputs.get("first"), "first", len(trace.boxes))
        if not self._places.acquire(timeout=_WAIT):
            return _BUSY
        try:
            once = one_pass(detector, trace) if first == 0 else None
            done = list(crops(detector, trace, trace.boxes[first : first + _CROPS]))
        finally:
            self._places.release()
        return {
            "first": first,
            "boxes": len(trace.boxes),
            "seconds": [round(crop.seconds, 4) for crop in done],
            "src": [payloads.data_url(crop.pixels, "JPEG", quality=80) for crop in done],
            "rcnn": [payloads.numbers(crop.probabilities, 4) for crop in done],
            "fast": payloads.numbers(trace.probabilities[first : first + len(done)], 4),
            "once": once,
        }

    def forms(self, inputs: dict) -> dict:
        """A box with each kind of RoI pooling, and its corners on the way to cells."""
        detector, trace = traced(self._analyses, inputs)
        channel = whole(inputs.get("channel"), "channel", trace.features.shape[1])
        seen = {kind: self._seen(inputs, detector, trace, kind) for kind in POOLINGS}
        exact = seen["align"].exact
        stride = detector.model.roi_pool.stride
        return {
            "box": payloads.numbers(seen["align"].box, 2),
            "input": payloads.numbers(exact * stride, 2),
            "exact": payloads.numbers(exact, 3),
            "channel": channel,
            "forms": {
                kind: {
                    "cells": None if form.cells is None else form.cells.tolist(),
                    "pooled": payloads.numbers(form.pooled[channel], 3),
                    "probabilities": payloads.numbers(form.probabilities, 5),
                }
                for kind, form in seen.items()
            },
        }

    def shifts(self, inputs: dict) -> dict:
        """How a class's score changes as the box moves along an axis, with each kind of pooling."""
        detector, trace = traced(self._analyses, inputs)
        label = whole(inputs.get("label"), "label", len(detector.classes) + 1)
        axis = whole(inputs.get("axis"), "axis", _AXES)
        _, chosen = chosen_box(inputs, trace)
        shifts = shifts_of(chosen, trace, axis, detector.model.roi_pool.stride)
        boxes = moved(chosen, shifts, axis)
        forms = {kind: scores_with(detector, trace, boxes, kind)[:, label] for kind in POOLINGS}
        return {
            "shifts": shifts.tolist(),
            "forms": {
                kind: payloads.numbers(scores - scores[shifts == 0], 4)
                for kind, scores in forms.items()
            },
        }

    def ranks(self, inputs: dict) -> dict:
        """The chosen box with fc6 and fc7 of lower ranks, and what the two layers then cost."""
        detector, trace = traced(self._analyses, inputs)
        thin = self._thin(inputs)
        seen = self._seen(inputs, thin, trace, None)
        heads = detector.model.head, thin.model.head
        costs = {name: _cost(*(getattr(head, name) for head in heads)) for name in _LAYERS}
        return {"layers": costs} | payloads.scores(seen.probabilities, seen.deltas, seen.regressed)

    def compressed(self, inputs: dict) -> dict:
        """All detections with fc6 and fc7 of lower ranks and as they are, and the times taken."""
        detector, trace = traced(self._analyses, inputs)
        thresholds = selection(inputs)
        thin = self._thin(inputs)
        if not self._places.acquire(timeout=_WAIT):
            return _BUSY
        try:
            # Not a lent GPU, so that both are measured on the same computer.
            own = Detector(detector.model, precision=detector.precision)
            replies = _scored([own, thin], trace, thresholds)
        finally:
            self._places.release()
        return dict(zip(("own", "now"), replies, strict=True))

    def _thin(self, inputs: dict) -> Detector:
        """A picture's detector with the ranks in `inputs`. Its own rank leaves a layer as it is."""
        analysis = self._analyses.get(inputs.get("token"))
        model = analysis.detector.model
        ranks: dict[str, int | None] = {}
        for name in _LAYERS:
            most = full_rank(getattr(model.head, name))
            rank = whole(inputs.get(name), name, most + 1)
            ranks[f"{name}_rank"] = None if rank == most else rank
        network = self._analyses.factors(analysis).network(model, **ranks)
        return Detector(network, precision=analysis.detector.precision)

    @staticmethod
    def _seen(inputs: dict, detector: Detector, trace: Trace, pooling: str | None) -> Inspection:
        _, chosen = chosen_box(inputs, trace)
        return detector.inspect(trace, chosen, pooling)


def _cost(own: nn.Linear | LowRankLinear, now: nn.Linear | LowRankLinear) -> dict:
    """A layer's multiply-adds for one RoI: as one layer, as it is, and with another rank."""
    return {
        "undivided": multiply_adds_undivided(own),
        "own": multiply_adds(own),
        "now": multiply_adds(now),
    }


def _scored(
    detectors: Sequence[Detector], trace: Trace, thresholds: tuple[float, float, float | None]
) -> list[dict]:
    """The detections of a trace's boxes with each detector, and the seconds that scoring took.

    The detectors take turns and each one's best time counts, because the first time includes
    preparations and others use the computer too.
    """
    replies: list[dict] = [{"seconds": math.inf} for _ in detectors]
    for _ in range(_REPEATS):
        for detector, reply in zip(detectors, replies, strict=True):
            start = time.perf_counter()
            probabilities, _, regressed = detector.score(trace, trace.boxes)
            seconds = round(time.perf_counter() - start, 4)
            found = select(probabilities, regressed, detector.classes, *thresholds)
            reply |= {
                "seconds": min(reply["seconds"], seconds),
                "labels": found.labels.tolist(),
                "scores": np.round(found.scores.astype(float), 4).tolist(),
                "boxes": np.round(found.boxes.astype(float), 2).tolist(),
            }
    return replies


def _maximum_kind(inputs: dict, detector: Detector) -> str:
    """The kind of pooling in `inputs`, or one that takes a maximum if it is RoIAlign."""
    kinds = (inputs.get("pooling"), detector.model.roi_pool.pooling, POOLINGS[0])
    return next(kind for kind in kinds if kind not in (None, "align"))


def _gradient_map(found: BoxGradient, channel: int | None) -> dict:
    """One channel's gradient cell by cell, or the sum of its sizes in all channels."""
    shown = found.cells.abs().sum(dim=0) if channel is None else found.cells[channel]
    return {
        "loss": payloads.significant(found.loss.total, 6),
        "map": payloads.significant(shown),
        "reached": int((found.cells != 0).any(dim=0).sum()),
    }
