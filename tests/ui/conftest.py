"""One tiny detector and its way through one picture, for all tests of the page's parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fastrcnn.detector import Detector, Stage, Trace
from fastrcnn.proposals import SelectiveSearch
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.page import Page, build, launch
from tests.proposals.test_segments import picture


@pytest.fixture(scope="module", autouse=True)
def no_files_of_other_tests() -> None:
    """They lie in one folder a process, count towards its limit, and go whenever a page sweeps."""
    for path in uploads.FILES.rglob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)


@pytest.fixture(scope="package")
def detector(tiny_checkpoint) -> Detector:
    """With two segmentations, each grouped in two ways."""
    search = SelectiveSearch(
        colour_spaces=("HSV",), thresholds=(50, 100), strategies=("CTSF", "TSF")
    )
    return Detector.from_checkpoint(tiny_checkpoint, search)


@pytest.fixture(scope="package")
def scene() -> np.ndarray:
    return picture(5, 120, 160)


@pytest.fixture(scope="package")
def stages(detector, scene) -> dict[str, Stage]:
    """All stages by name."""
    return {stage.name: stage for stage in detector.stages(scene)}


@pytest.fixture(scope="package")
def trace(stages) -> Trace:
    return stages["detections"].trace


@contextmanager
def served(detector: Detector, limits: Limits | None = None) -> Iterator[tuple[Page, str]]:
    """The page, without examples so that none is analysed meanwhile, and its address."""
    page = build(detector, Path("no examples"), limits=limits)
    _, address, _ = launch(page, prevent_thread_lock=True, quiet=True, inbrowser=False)
    try:
        yield page, address
    finally:
        page.close()


def assert_is_json(shown: object) -> None:
    """Plain values only, and no number that JSON lacks."""
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown


def assert_is_one_sentence(text: str) -> None:
    assert text.endswith(".") and ". " not in text and "\n" not in text, text
