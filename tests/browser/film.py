"""Makes the README's film and screenshots of the page: `python -m tests.browser.film`.

A browser goes through the page with the detector that ships, as a first-time visitor would. That
makes assets/film.webp, an animated WebP of at most 4 MB, and the screenshots beside it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from fastrcnn.detector import Detector
from fastrcnn.ui.page import build, launch
from tests.browser.conftest import QUIET, STATIONS, open_page, open_station
from tests.chromium import find_chromium

ASSETS = Path(__file__).parents[2] / "assets"
_SIZE = {"width": 1280, "height": 800}
_SMALLER = (960, 600)
_MOST_BYTES = 4_000_000
_SECONDS = 1.6  # that a picture of the film stays
_ITERATIONS = 500  # of the training whose curves are shown


def scenes(page: Page) -> Iterator[None]:
    """Goes through the page; each yield is a picture of the film."""
    for station in STATIONS:
        open_station(page, station)
        page.wait_for_timeout(1000)  # for what moves along the strip
        yield
        if station in ("pooling", "head"):
            view = {"pooling": "rounding", "head": "worth"}[station]
            page.locator(f"#explore-{station} [data-opens='{view}']").click()
            page.locator(f"[data-view='{view}']").wait_for()
            page.wait_for_timeout(1500)
            yield
    page.get_by_role("button", name="horses").click()
    page.locator(".status").get_by_text(re.compile("horses.*analysed in")).wait_for()
    page.wait_for_timeout(500)
    yield


def _training(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Start", exact=True).click()
    done = re.compile(rf"^({'|'.join(map(str, range(_ITERATIONS, _ITERATIONS + 400)))}) / ")
    page.locator("[data-fact=iteration]").filter(has_text=done).wait_for(timeout=300_000)
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_timeout(1000)


def _picture(page: Page) -> Image.Image:
    return Image.open(BytesIO(page.screenshot())).convert("RGB")


def save_film(pictures: list[Image.Image], path: Path) -> None:
    """An animated WebP, in the best quality that keeps it small enough."""
    first, *others = (picture.resize(_SMALLER, Image.Resampling.LANCZOS) for picture in pictures)
    for quality in (80, 65, 50, 35):
        options = {"duration": int(_SECONDS * 1000), "loop": 0, "quality": quality, "method": 4}
        first.save(path, save_all=True, append_images=others, **options)
        if path.stat().st_size <= _MOST_BYTES:
            return
    raise SystemExit(f"{path} is larger than {_MOST_BYTES} bytes.")


def main() -> int:
    page_of_detector = build(Detector.from_checkpoint())
    _, address, _ = launch(page_of_detector, prevent_thread_lock=True, quiet=True, inbrowser=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=_SIZE, color_scheme=scheme)
            context.set_default_timeout(60_000)
            page = open_page(context, address)
            page.mouse.move(640, 2)  # away from words that explain themselves
            page.wait_for_timeout(500)
            _picture(page).save(ASSETS / f"explore-{scheme}.png", optimize=True)
            if scheme == "light":
                film = [_picture(page) for _ in scenes(page)]
                page.set_viewport_size({"width": 1280, "height": 900})
                _training(page)
                _picture(page).save(ASSETS / "train.png", optimize=True)
                page.set_viewport_size(_SIZE)
                save_film([*film, _picture(page)], ASSETS / "film.webp")
            context.close()
        browser.close()
    page_of_detector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
