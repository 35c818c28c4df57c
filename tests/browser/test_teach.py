"""The Teach tab, as a visitor uses it: draw, teach, find, take away."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from fastrcnn.model import load_checkpoint
from tests.browser.conftest import open_page

pytestmark = pytest.mark.system


@pytest.fixture
def teach(context, address):
    page = open_page(context, address)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.get_by_role("tab", name="Teach").click()
    page.locator(".teach .go").wait_for()
    yield page
    page.close()
    assert troubles == []


def test_a_class_is_drawn_taught_found_opened_and_saved(teach, photo, detector, tmp_path):
    teach.locator(".teach .go").click()
    expect(teach.locator(".teach .status")).to_contain_text("Give the new class a name")
    teach.locator(".teach .name").fill("ball")
    for count in (1, 2):
        teach.locator(".teach .upload input").set_input_files(str(photo))
        expect(teach.locator(".teach .photos canvas")).to_have_count(count)
        expect(teach.locator(".teach .status")).to_contain_text("Draw boxes")
    canvas = teach.locator(".teach .photos canvas").first
    teach.wait_for_function("document.querySelector('.teach .photos canvas').clientWidth > 200")
    box = canvas.bounding_box()
    teach.mouse.move(box["x"] + 20, box["y"] + 20)
    teach.mouse.down()
    teach.mouse.move(box["x"] + 120, box["y"] + 110, steps=3)
    teach.mouse.up()
    expect(teach.locator(".teach .status")).to_contain_text("Press Teach")
    words = teach.locator(".photo-text")
    expect(words.first).to_have_text("1 box: to learn from.")
    canvas.press("Enter")
    expect(words.first).to_have_text("2 boxes: to learn from.")
    canvas.press("ArrowRight")
    canvas.press("Delete")
    expect(words.first).to_have_text("1 box: to learn from.")
    expect(words.nth(1)).to_have_text("No box: to look through.")
    teach.locator(".teach .go").click()
    expect(teach.locator(".teach .status")).to_contain_text("It knows ball now")
    expect(words.nth(1)).to_contain_text("Found: ")
    expect(teach.locator(".teach .curve-text")).to_contain_text("Step 200: loss")
    with teach.expect_download() as started:
        teach.locator(".teach .take-checkpoint").click()
    started.value.save_as(tmp_path / "taught.safetensors")
    model, _ = load_checkpoint(tmp_path / "taught.safetensors")
    assert model.config.classes == (*detector.classes, "ball")
    teach.get_by_role("button", name="Open in Explore").last.click()
    whose = teach.locator(".whose")
    expect(whose).to_contain_text("the detector that ships, and what you taught it: ball.")


def test_what_is_found_lies_on_top_of_what_was_drawn(teach, photo):
    teach.locator(".teach .upload input").set_input_files(str(photo))
    canvas = teach.locator(".teach .photos canvas")
    canvas.wait_for()
    teach.wait_for_function("document.querySelector('.teach .photos canvas').clientWidth > 200")
    red, _, blue = canvas.evaluate(
        """async (canvas) => {
          const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
          const { change, state } = await import(
            loaded.find((name) => name.includes("teach/page.js")));
          const [{ number, name }] = state.photos;
          const { width, height } = state.images[number];
          const box = [0, 0.5 * height, 0.8 * width, 0.9 * height];
          const found = [{ label: "ball", score: 0.9, box }];
          change({ boxes: { [number]: [box] }, taught: "ball", photos: [{ number, name, found }] });
          await new Promise((resolve) => setTimeout(resolve, 200));
          const at = [0.4 * canvas.width, 0.9 * canvas.height].map(Math.round);
          return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
        }"""
    )
    assert blue > red + 60  # not orange or black


def test_it_fits_a_phone(teach):
    teach.set_viewport_size({"width": 390, "height": 800})
    assert teach.evaluate("document.documentElement.scrollWidth") <= 390
