"""Many pictures, one after another, give what each gives alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fastrcnn.detector import Detector
from fastrcnn.errors import ImageError
from fastrcnn.pipeline import detect_each
from fastrcnn.postprocess import Selection


@pytest.fixture
def detector(tiny_checkpoint) -> Detector:
    return Detector.from_checkpoint(tiny_checkpoint, "single")


@pytest.mark.parametrize("ahead", [None, 1, 3])
def test_each_picture_gives_what_it_gives_alone(detector, photo, ahead):
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (90, 60 + i, 3), dtype=np.uint8) for i in range(3)]
    traces = [
        finish()
        for finish in detect_each(
            detector, [*images, photo], Selection(score_threshold=0.1), ahead=ahead
        )
    ]
    for image, trace in zip([*images, photo], traces, strict=True):
        alone = detector.trace(image, score_threshold=0.1)
        assert trace.detections == alone.detections and len(alone.detections)
        assert np.array_equal(trace.proposals.boxes, alone.proposals.boxes)
        assert trace.seconds.keys() == alone.seconds.keys()


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_picture_that_cannot_be_read_does_not_stop_the_others(detector, photo, tmp_path, ahead):
    first, bad, last = detect_each(detector, [photo, tmp_path / "nosuch.jpg", photo], ahead=ahead)
    assert first().detections == last().detections
    with pytest.raises(ImageError, match="nosuch"):
        bad()


def test_boxes_are_proposed_ahead_in_another_thread_and_on_the_processor_are_not(
    tiny_checkpoint, photo
):
    threads = []

    def search(image: np.ndarray) -> np.ndarray:
        threads.append(threading.current_thread())
        return np.array([[0, 0, 40, 40]], np.float32)

    own = Detector.from_checkpoint(tiny_checkpoint, search, device="cpu")
    for ahead in (1, None):
        (finish,) = detect_each(own, [photo], ahead=ahead)
        assert finish().boxes.tolist() == [[0, 0, 40, 40]]
    assert [thread is threading.main_thread() for thread in threads] == [False, True]
