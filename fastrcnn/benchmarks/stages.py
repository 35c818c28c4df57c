"""Where the network's time goes for one picture (the paper's Figure 2)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from fastrcnn.detector import Detector

STAGES = ("conv", "RoI pooling", "fc6", "fc7", "other")


def time_stages(
    detector: Detector, image: np.ndarray, boxes: np.ndarray, turns: int = 3
) -> dict[str, float]:
    """The seconds of each of STAGES, the median of some turns after a first one for warming up.

    image: (H, W, 3) uint8 RGB. boxes: (R, 4) proposals, which are scored as they are. The clock is
    read where the network's own modules begin and end. fc6 includes what prepares its input, and
    its ReLU. "other" is the rest of the way from the picture to its detections.
    """
    taken: list[dict[str, float]] = []
    for _ in range(turns + 1):
        with _clock(detector) as seconds:
            start = _now(detector)
            detector.trace(image, boxes=boxes, max_proposals=len(boxes))
            whole = _now(detector) - start
        seconds["other"] += whole - sum(seconds.values())
        taken.append(seconds)
    return {name: statistics.median(turn[name] for turn in taken[1:]) for name in STAGES}


@contextmanager
def _clock(detector: Detector) -> Iterator[dict[str, float]]:
    """Add up the time of each stage while the network works."""
    seconds = dict.fromkeys(STAGES, 0.0)
    last = time.perf_counter()

    def ends(stage: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            nonlocal last
            now = _now(detector)
            seconds[stage] += now - last
            last = now

        return note

    model, head = detector.model, detector.model.head
    hooks = [
        model.backbone.register_forward_pre_hook(ends("other")),
        model.backbone.register_forward_hook(ends("conv")),
        # Between the convolutions, or the last RoIs' scores, and the head there is only pooling.
        head.register_forward_pre_hook(ends("RoI pooling")),
        head.fc7.register_forward_pre_hook(ends("fc6")),
        head.fc7.register_forward_hook(ends("fc7")),
        head.register_forward_hook(ends("other")),
    ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def _now(detector: Detector) -> float:
    if detector.device.type == "cuda":
        torch.cuda.synchronize(detector.device)
    return time.perf_counter()
