"""What a visitor sees at the page's limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from playwright.sync_api import expect

from fastrcnn.detector import Detector
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.page import build, launch
from tests.browser.conftest import PATIENCE, open_page, upload, wait_for_analysis

pytestmark = pytest.mark.system


@contextmanager
def served(detector: Detector, limits: Limits) -> Iterator[str]:
    page = build(detector, limits=limits)
    _, address, _ = launch(page, prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield address
    page.close()


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(context, detector, photo, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(2**20 + 1))
    with served(detector, Limits(upload_mb=1)) as address:
        page = open_page(context, address)
        sent = []
        page.on("request", lambda request: sent.append((request.method, request.url)))
        upload(page, tmp_path / "large.png")
        expect(page.get_by_text("maximum allowed size of 1.0 MB").first).to_be_visible()
        assert not any(method == "POST" and "/upload" in url for method, url in sent)
        page.reload()
        wait_for_analysis(page)
        upload(page, photo)
        wait_for_analysis(page, photo.name)


def test_the_uploaded_picture_is_still_shown_when_its_file_is_gone(
    context, detector, photo, monkeypatch
):
    monkeypatch.setattr(uploads, "_READ_SECONDS", 1.0)
    monkeypatch.setattr("fastrcnn.ui.page._SWEEP_SECONDS", 0.5)
    # Pages of other tests keep files of theirs in the same folder, and may still make some.
    before = set(uploads.FILES.rglob(photo.name))
    with served(detector, Limits()) as address:
        page = open_page(context, address)
        upload(page, photo)
        wait_for_analysis(page, photo.name)
        shown = page.locator("#photo img").first
        expect(shown).to_have_js_property("naturalWidth", 160)
        deadline = time.monotonic() + 60
        while not set(uploads.FILES.rglob(photo.name)) <= before:
            assert time.monotonic() < deadline, "the file is still there"
            page.wait_for_timeout(100)
        expect(shown).to_have_js_property("naturalWidth", 160)
        # And the page goes on being used.
        page.locator("#tabs").get_by_role("tab", name="Train").click()
        page.locator("#tabs").get_by_role("tab", name="Explore").click()
        expect(page.locator(".explore .status")).to_contain_text(photo.name)


class Stopped(Detector):
    """Starts to answer when the test lets it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector.model, detector.metadata, detector.search)
        self.go_on = Event()

    def stages(self, *values, **named):
        assert self.go_on.wait(PATIENCE)
        yield from super().stages(*values, **named)


@pytest.fixture
def stopped(detector) -> Iterator[Stopped]:
    stopped = Stopped(detector)
    yield stopped
    stopped.go_on.set()


def test_who_comes_when_all_places_are_taken_hears_how_many_there_are(context, stopped, photo):
    with served(stopped, Limits(queue=1)) as address:
        visitors = []
        for message in (
            "Finding the starting regions",
            "looks at one photograph at a time, and others may be first",
            "did not go through: no more than 1 may wait at a time",
        ):
            visitors.append(context.new_page())
            visitors[-1].goto(address)
            expect(visitors[-1].locator(".status")).to_contain_text(message)
        assert "Traceback" not in visitors[-1].content()
        stopped.go_on.set()
        for visitor in visitors[:2]:
            wait_for_analysis(visitor)
        upload(visitors[-1], photo)
        wait_for_analysis(visitors[-1], photo.name)
