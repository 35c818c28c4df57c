"""The page on a slow network, where the parts that Gradio fetches one by one come in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import upload, wait_for_analysis

pytestmark = pytest.mark.system

ASSETS = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"
Late = Callable[[str], Callable[[], None]]


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """Of a browser that has fetched nothing yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def late(page) -> Late:
    """Makes Gradio's scripts that contain a word wait until what it returns is called."""

    def hold(word: str) -> Callable[[], None]:
        names = {path.name for path in ASSETS.glob("*.js") if word in path.read_text("utf-8")}
        held: list[Route] = []
        page.route(lambda url: url.rpartition("/")[2] in names, lambda route: held.append(route))

        def release() -> None:
            assert held, f"no script with {word} was asked for"
            for route in held:
                route.continue_()
            page.unroute_all()

        return release

    return hold


def test_the_place_for_a_photograph_may_come_after_its_button(page, late, address, photo):
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    release = late("image-container")
    page.goto(address)
    wait_for_analysis(page, "cow.jpg")
    place, button = page.locator("#photo"), page.locator(".own-photo")
    expect(place).to_have_count(0)
    release()
    button.click()
    expect(place).to_be_visible()
    assert place.bounding_box()["y"] > button.bounding_box()["y"]
    page.locator(".scene").click()
    expect(place).to_be_hidden()
    button.click()
    expect(place).to_be_visible()
    page.keyboard.press("Escape")
    expect(place).to_be_hidden()
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    assert errors == []


def test_the_tab_that_a_link_names_may_come_after_the_header(page, late, address):
    release = late("tab-wrapper")
    page.goto(f"{address}#tab=train")
    expect(page.locator(".header[data-ready]")).to_be_visible()
    release()
    expect(page.locator("#train .view[data-ready]")).to_be_visible()
