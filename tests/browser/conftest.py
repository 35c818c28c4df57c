"""The real page, served from this process, and a real browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from fastrcnn.detector import Detector, Trace
from fastrcnn.ui.page import build, launch
from tests.chromium import find_chromium

# Parts of Chromium that no test needs. The last such switch counts, so those that Playwright turns
# off are here too. The others are the lists below the address bar: nobody sees them, and to make
# them anew for every page takes a third of the processor's time that opening a page takes.
FEATURES = (
    *("AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync"),
    *("DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades"),
    *("LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints"),
    *("PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning"),
    *("WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxPopup"),
)
# Without these Chromium looks for updates and syncs, on hosts that no test should reach.
QUIET = (
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--no-sandbox"),
    f"--disable-features={','.join(FEATURES)}",
)
PATIENCE = 40_000  # milliseconds; slow machines take their time for an analysis
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def detector(tiny_checkpoint) -> Detector:
    return Detector.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="package")
def trace(detector, photo) -> Trace:
    """What the page should show of the uploaded photograph."""
    return detector.trace(photo)


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
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def visitor(browser) -> Iterator[BrowserContext]:
    """The browser of somebody who comes again and again: what it has fetched once stays with it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def context(visitor) -> Iterator[BrowserContext]:
    """Without any open page, before a test and after it."""
    yield visitor
    for page in visitor.pages:
        page.close()


STATIONS = ("photo", "grouping", "proposals", "features", "pooling", "fc", "head", "nms", "result")


def open_page(context: BrowserContext, address: str, asks: bool = False) -> Page:
    """The page, its first example analysed. asks: with the questions before the lessons."""
    page = context.new_page()
    page.goto(address)
    wait_for_analysis(page)
    page.locator(".guess").wait_for()
    if not asks:
        page.locator(".skip-all").click()
    return page


def wait_for_analysis(page: Page, name: str = "") -> None:
    """Until the picture, of this name, is analysed and the chosen box looked at."""
    expect(page.locator(".status")).to_contain_text(f"{name}: analysed in")
    page.locator(".life .fate").wait_for()


def upload(page: Page, path: Path) -> None:
    page.locator("#photo input[type=file]").first.set_input_files(str(path))


def open_station(page: Page, name: str) -> None:
    page.locator(f"#explore-station-{name}").click()


@pytest.fixture
def page(context, address) -> Page:
    return open_page(context, address)


@pytest.fixture
def shapes(page, photo) -> Page:
    """The page with our own photograph on it, analysed."""
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    return page
