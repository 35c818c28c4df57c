"""Figure 2's clock: every stage takes its time, and together they are the whole."""

from __future__ import annotations

import time

import pytest

from fastrcnn.benchmarks.stages import STAGES, time_stages
from fastrcnn.detector import Detector
from fastrcnn.model import compress
from tests.evaluation.scene import boxes, opinionated
from tests.proposals.test_segments import picture


@pytest.mark.parametrize("with_svd", [False, True])
def test_a_stage_that_sleeps_takes_longer_by_that_much(with_svd, monkeypatch):
    model = compress(opinionated(), 4, 4) if with_svd else opinionated()
    detector = Detector(model, precision="float32")
    image, few = picture(0, 100, 120), boxes(40)
    time_stages(detector, image, few, turns=1)
    # Without a real clock, so that a busy computer makes no difference.
    now = 0.0

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    model.backbone.conv1.register_forward_hook(lambda *_: passes(1.0))
    model.head.dropout.register_forward_hook(lambda *_: passes(0.25))
    model.head.bbox_pred.register_forward_hook(lambda *_: passes(0.125))
    pool = model.roi_pool.parts
    monkeypatch.setattr(model.roi_pool, "parts", lambda *given: (passes(2.0), pool(*given))[1])
    found = time_stages(detector, image, few, turns=3)
    assert found == {"conv": 1.0, "RoI pooling": 2.0, "fc6": 0.25, "fc7": 0.0, "other": 0.375}
    assert tuple(found) == STAGES
    # The clock is taken out again.
    assert not model.backbone._forward_pre_hooks and not model.head.fc7._forward_hooks
