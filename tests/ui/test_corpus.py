"""Bad and odd pictures of all kinds, sent to the page and to its endpoints over HTTP.

What is computed of a picture is left out where all of them are sent: it never sees one that is
none, and takes a thousand times as long as reading it.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastrcnn.detector import Detector, Stage
from fastrcnn.images import load_image
from fastrcnn.ui import api
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.page import Page
from tests.corpus import Case, corpus, varied
from tests.test_corpus import check, files_open, one_sentence, small
from tests.ui.conftest import served
from tests.visitor import Refused, Visitor

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore:::PIL")]


class Glance(Detector):
    """Looks at a picture and finds nothing."""

    def stages(self, image, **_) -> Iterator[Stage]:
        yield Stage("detections", load_image(image))


@pytest.fixture(scope="module")
def page(detector) -> Iterator[tuple[Page, str]]:
    glance = Glance(detector.model, detector.metadata, detector.search)
    with served(glance) as there:
        yield there


@pytest.fixture
def visitor(page) -> Iterator[Visitor]:
    with Visitor(page[1]) as visitor:
        yield visitor


@pytest.fixture(autouse=True)
def no_traceback(capfd):
    yield
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err


def assert_refused_in_a_sentence(case: Case, refused: Refused) -> None:
    assert not isinstance(case.picture, np.ndarray), f"{case.name} was refused: {refused}"
    assert one_sentence(str(refused)), f"{case.name}: {refused}"
    # The server's own folders are nobody's business.
    assert str(uploads.FOLDER) not in str(refused) and "/tmp" not in str(refused)


@pytest.fixture
def nothing_is_left(monkeypatch) -> Iterator[None]:
    """Once the moment has passed in which a browser shows them; other tests' may still be there."""
    before = set(files_kept())
    yield
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "_UNCHANGED_SECONDS", 0.0)
        uploads.sweep(600 - uploads._READ_SECONDS)
        uploads.sweep(600)
    assert set(files_kept()) <= before


def files_kept() -> Iterator[Path]:
    return (path for path in uploads.FILES.rglob("*") if path.is_file())


def look(page: Page, visitor: Visitor, case: Case) -> str | None:
    """Open a case on the page; its token, or None where it was refused."""
    try:
        *_, note = visitor.look_at(case.content, case.name)
    except Refused as refused:
        assert_refused_in_a_sentence(case, refused)
        return None
    assert case.picture is not None, f"{case.name} was taken for a picture"
    assert note["stage"] == "detections" and note["name"] == case.name
    check(page.analyses.get(note["token"]).stage.image, case)
    return note["token"]


def test_each_kind_of_file_on_the_page_is_read_rightly_or_refused_and_leaves_nothing(
    page, visitor, nothing_is_left
):
    page, _ = page
    token = None
    for case in varied():
        opened = look(page, visitor, case)
        # What is refused takes nothing away.
        token = opened or token
        assert len(page.analyses) == (token is not None)
        if opened is None and token:
            page.analyses.get(token)
    visitor.leave()
    deadline = time.monotonic() + 60
    while len(page.analyses):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_kind_of_file_at_the_endpoint_is_read_rightly_or_refused_and_leaves_nothing(
    page, visitor, nothing_is_left, monkeypatch
):
    seen = []

    class Found:
        boxes = np.array([[0, 0, 1, 1]], np.float32)

    monkeypatch.setattr(api, "selective_search", lambda image, *_: seen.append(image) or Found)
    for case in varied():
        seen.clear()
        try:
            (answer,) = visitor.call("proposals", visitor.send(case.content, case.name), "fast")
        except Refused as refused:
            assert_refused_in_a_sentence(case, refused)
            assert seen == []
            continue
        assert case.picture is not None, case.name
        check(seen[0], case)
        height, width = seen[0].shape[:2]
        assert (answer["image"], answer["height"], answer["width"]) == (case.name, height, width)


@pytest.mark.parametrize("endpoint", ["detect", "pool"])
def test_the_other_endpoints_refuse_the_same(detector, endpoint):
    """Every twelfth, with all that is computed of it."""
    values = {"detect": (0.5, 0.3), "pool": ([0, 0, 1, 1], 0, "paper")}[endpoint]
    some = [case for case in corpus() if small(case)][::12]
    read = 0
    with served(detector) as (_, address), Visitor(address) as visitor:
        for case in some:
            try:
                answer = visitor.call(endpoint, visitor.send(case.content, case.name), *values)
            except Refused as refused:
                assert_refused_in_a_sentence(case, refused)
                continue
            assert case.picture is not None, case.name
            read += 1
            if endpoint == "detect" and isinstance(case.picture, np.ndarray):
                assert (answer[0]["height"], answer[0]["width"]) == case.picture.shape[:2]
            if endpoint == "pool":
                assert np.shape(answer[0]) == (7, 7)
    assert read > 5


def resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_sending_them_again_takes_no_more_memory_threads_or_open_files(page, visitor):
    page, _ = page
    cases = [case for case in corpus() if len(case.content) < 100_000 and small(case)][::6]

    def send_all() -> tuple[int, int, int]:
        for case in cases:
            look(page, visitor, case)
        return resident(), threading.active_count(), files_open()

    send_all()
    memory, threads, files = send_all()
    for _ in range(2):
        after = send_all()
    assert after[0] < 1.05 * memory
    assert after[1] <= threads + 2  # Gradio's own come and go
    assert after[2] <= files + 2


@pytest.mark.parametrize("name", ["palette.gif", "16-bit.png", "16-bit-colour.png", "alpha.png"])
def test_gradio_has_no_part_in_reading(page, visitor, name, monkeypatch):
    """It would give a GIF's palette indices and cut 16 bits off at 255."""

    def convert(*_, **__):
        raise AssertionError("Gradio decoded a picture")

    monkeypatch.setattr("gradio.image_utils.preprocess_image", convert)
    (case,) = (case for case in corpus() if case.name == name)
    assert look(page[0], visitor, case)
