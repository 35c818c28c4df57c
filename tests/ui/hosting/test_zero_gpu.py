"""A network on a lent GPU answers as it does here, whatever becomes of the loan."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from types import SimpleNamespace

import torch

from fastrcnn.detector import Trace
from fastrcnn.ui.hosting.zero_gpu import on_lent_gpu


class Spaces(SimpleNamespace):
    """In the place of the package `spaces`: what goes to the GPU's process and back is pickled."""

    def __init__(self, refuses: bool = False) -> None:
        super().__init__(refuses=refuses, steps=[], seconds=None)

    def GPU(self, duration: int) -> Callable[[Callable], Callable]:
        self.seconds = duration

        def lend(function: Callable) -> Callable:
            def lent(*arguments):
                self.steps.append(arguments[0])
                if self.refuses:
                    raise RuntimeError("GPU quota exceeded")
                return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))

            return lent

        return lend


def assert_same(lent: Trace, trace: Trace) -> None:
    for name in ("boxes", "features", "probabilities", "deltas", "regressed"):
        assert torch.equal(getattr(lent, name), getattr(trace, name)), name
    assert lent.detections.to_list() == trace.detections.to_list()


def test_without_spaces_the_detector_is_left_alone(detector, monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)  # as if it were not installed
    assert on_lent_gpu(detector) is detector


def test_the_network_runs_where_the_gpu_is_lent(detector, scene, trace, monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", spaces := Spaces())
    lent = on_lent_gpu(detector)
    assert_same(lent.trace(scene), trace)
    assert spaces.steps == ["convolve", "predict"] and spaces.seconds <= 60
    own = torch.tensor([[10.0, 10.0, 80.0, 90.0]])
    for mine, its in zip(lent.score(trace, own), detector.score(trace, own), strict=True):
        assert torch.equal(mine, its)
    seen = lent.inspect(trace, own[0])
    assert torch.equal(seen.pooled, detector.inspect(trace, own[0]).pooled)
    assert len(spaces.steps) == 3  # one box is looked at on the processor


def test_where_no_gpu_is_lent_the_processor_does_it(detector, scene, trace, monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", spaces := Spaces(refuses=True))
    assert_same(on_lent_gpu(detector).trace(scene), trace)
    assert spaces.steps == ["convolve", "predict"]


def test_no_boxes_are_no_trouble_for_a_lent_gpu(detector, scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", Spaces())
    trace = on_lent_gpu(detector).trace(scene, boxes=torch.zeros(0, 4).numpy())
    assert len(trace.detections) == 0 and trace.features.ndim == 4
