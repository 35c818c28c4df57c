"""A network on a lent GPU answers as it does here, whatever becomes of the loan."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from fastrcnn.detector import Detector, Trace
from fastrcnn.ui.hosting import zero_gpu
from fastrcnn.ui.hosting.zero_gpu import load_detector


class Spaces(SimpleNamespace):
    """In the place of the package `spaces`: what goes to the GPU's process and back is pickled."""

    def __init__(self) -> None:
        super().__init__(refuses=False, calls=0, seconds=None)

    def GPU(self, duration: int) -> Callable[[Callable], Callable]:
        self.seconds = duration

        def lend(function: Callable) -> Callable:
            def lent(*arguments):
                self.calls += 1
                if self.refuses:
                    raise RuntimeError("GPU quota exceeded")
                return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))

            return lent

        return lend


@pytest.fixture
def spaces(monkeypatch, tiny_checkpoint) -> Spaces:
    """The package `spaces` on ZeroGPU, where the GPU is the processor."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setitem(sys.modules, "spaces", spaces := Spaces())
    monkeypatch.setattr(zero_gpu, "GPU", torch.device("cpu"))
    return spaces


@pytest.fixture
def lent(spaces, detector) -> Detector:
    """The page's detector there, with the search that the traces here have."""
    lent = load_detector()
    lent.search = detector.search
    return lent


def assert_same(lent: Trace, trace: Trace) -> None:
    for name in ("boxes", "features", "probabilities", "deltas", "regressed"):
        assert torch.equal(getattr(lent, name), getattr(trace, name)), name
    assert lent.detections.to_list() == trace.detections.to_list()


@pytest.mark.parametrize("value", ["", "false"])
def test_elsewhere_the_package_spaces_is_not_touched(value, spaces, monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", value)
    monkeypatch.setitem(sys.modules, "spaces", None)  # as if it were not installed
    assert type(load_detector()) is Detector and spaces.seconds is None


def test_spaces_is_imported_before_anything_asks_for_a_gpu(spaces, monkeypatch):
    """Or else its import fails on ZeroGPU, where the page then could not start."""
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: order.append("asked") or True)
    monkeypatch.setattr(zero_gpu, "import_module", lambda _: order.append("spaces") or spaces)
    assert load_detector().device.type == "cpu" and order[0] == "spaces"


def test_a_picture_takes_one_lent_call(lent, detector, scene, trace, spaces):
    assert spaces.calls == 0 and spaces.seconds <= 60
    assert_same(lent.trace(scene), trace)
    assert spaces.calls == 1
    # Single boxes, and pictures whose features are known, stay on the processor.
    own = torch.tensor([[10.0, 10.0, 80.0, 90.0]])
    for mine, its in zip(lent.score(trace, own), detector.score(trace, own), strict=True):
        assert torch.equal(mine, its)
    seen = lent.inspect(trace, own[0])
    assert torch.equal(seen.pooled, detector.inspect(trace, own[0]).pooled)
    assert_same(lent.trace(scene, features=(trace.features, trace.scales)), trace)
    assert spaces.calls == 1


def test_the_network_is_copied_to_the_device_before_the_first_call(lent, detector, scene):
    maps = lent.trace(scene).features
    pixels = detector.model.backbone.preprocess(detector.model.config.resize.resize(scene)[0])
    lent.model = None  # a lent call needs none of the processor's weights
    (again,), _ = lent.halves([pixels], [torch.zeros(0, 4)])
    assert torch.equal(again, maps)


def test_where_no_gpu_is_lent_the_processor_does_it(lent, scene, trace, spaces):
    spaces.refuses = True
    assert_same(lent.trace(scene), trace)
    assert spaces.calls == 1


def test_no_boxes_are_no_trouble_for_a_lent_gpu(lent, scene):
    trace = lent.trace(scene, boxes=torch.zeros(0, 4).numpy())
    assert len(trace.detections) == 0 and trace.features.ndim == 4
