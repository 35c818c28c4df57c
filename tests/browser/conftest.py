"""The real page, served from this process, and a real browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fastrcnn.detect import Detector
from fastrcnn.ui.page import build, launch
from tests.chromium import find_chromium

# Without these Chromium looks for updates and syncs, on hosts that no test should reach.
_QUIET = (
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--no-sandbox"),
)
PATIENCE = 120_000  # milliseconds; slow machines take their time for an analysis


@pytest.fixture(scope="package")
def detector(tiny_checkpoint) -> Detector:
    return Detector.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="package")
def address(detector) -> Iterator[str]:
    page = build(detector)
    _, url, _ = launch(page, prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield url
    page.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    assert path, "There is no Chromium; `python -m tests` brings one."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def context(browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context, address) -> Page:
    page = context.new_page()
    page.goto(address)
    page.locator("#photo").wait_for()
    return page
