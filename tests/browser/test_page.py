"""The page, as someone uses it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE

expect.set_options(timeout=PATIENCE)


def upload(page: Page, path) -> None:
    page.locator("#photo input[type=file]").first.set_input_files(str(path))


def set_slider(page: Page, name: str, value: float) -> None:
    number = page.locator(f"#{name} input[type=number]")
    number.fill(str(value))
    number.press("Enter")


def rows(page: Page) -> list[list[str]]:
    """The table's cells, headings left out."""
    return [row.locator("td").all_inner_texts() for row in page.locator("#table tbody tr").all()]


def expected_rows(detections) -> list[list[str]]:
    return [
        [found["label"], f"{found['score']:.3f}", ", ".join(f"{x:.0f}" for x in found["box"])]
        for found in detections.to_list()
    ]


def test_an_upload_is_detected_drawn_listed_and_given_as_json(page, photo, detector):
    upload(page, photo)
    found = detector(photo)
    expect(page.locator("#message")).to_contain_text(f"{len(found)} objects")
    expect(page.locator("#drawn img")).to_be_visible()
    expect(page.locator("#table tbody tr")).to_have_count(len(found))
    assert rows(page) == expected_rows(found)
    page.get_by_text("JSON, as the command line writes it").click()
    shown = page.locator("#record")
    for item in found.to_list():
        expect(shown).to_contain_text(item["label"])
        expect(shown).to_contain_text(json.dumps(item["score"]))
    expect(shown).to_contain_text("shapes.png")


def test_the_sliders_change_the_answer_at_once(page, photo, detector):
    upload(page, photo)
    expect(page.locator("#message")).to_contain_text("objects")
    set_slider(page, "score", 0.05)
    many = detector(photo, score=0.05)
    expect(page.locator("#message")).to_contain_text(f"{len(many)} objects")
    set_slider(page, "nms", 0.95)
    more = detector(photo, score=0.05, nms=0.95)
    assert len(more) > len(many) > len(detector(photo))
    expect(page.locator("#message")).to_contain_text(f"{len(more)} objects")
    set_slider(page, "score", 0.95)
    expect(page.locator("#message")).to_contain_text("No object scored at least 0.95")


def test_a_click_on_an_example_detects_in_it(page):
    page.locator("button.gallery-item").first.click()
    expect(page.locator("#message")).to_contain_text("Took")
    expect(page.locator("#drawn img")).to_be_visible()


def test_what_is_not_a_picture_gets_one_kind_sentence_and_the_page_lives_on(page, photo, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    upload(page, broken)
    message = page.locator("#message")
    expect(message).to_contain_text("not a picture that can be read")
    assert "Traceback" not in page.content()
    assert str(tmp_path.parent) not in message.inner_text()
    page.locator("#photo").get_by_label("Remove Image").or_(
        page.locator("#photo").get_by_label("Clear")
    ).first.click()
    expect(message).to_contain_text("Choose a photograph")
    upload(page, photo)
    expect(message).to_contain_text("Took")


def test_two_people_keep_their_own_pictures(page, context, address, photo, detector, tmp_path):
    upload(page, photo)
    expect(page.locator("#message")).to_contain_text("objects")
    other = context.new_page()
    other.goto(address)
    expect(other.locator("#message")).to_contain_text("Choose a photograph")
    set_slider(other, "score", 0.05)
    set_slider(page, "score", 0.05)
    expect(page.locator("#message")).to_contain_text(f"{len(detector(photo, score=0.05))} objects")
    expect(other.locator("#message")).to_contain_text("Choose a photograph")
    assert rows(other) == []


def test_the_browser_asks_one_host_and_has_nothing_to_complain_of(context, address, photo):
    hosts, complaints = set(), []
    page = context.new_page()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and complaints.append(message.text),
    )
    page.goto(address)
    upload(page, photo)
    expect(page.locator("#message")).to_contain_text("Took")
    expect(page.locator("#drawn img")).to_be_visible()
    # "" is data: and blob:, which are no host at all.
    assert hosts - {""} == {urlsplit(address).netloc}
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width_in_light_and_dark(browser, address, photo, scheme):
    context = browser.new_context(color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    upload(page, photo)
    expect(page.locator("#message")).to_contain_text("Took")
    expect(page.locator("#drawn img")).to_be_visible()
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name in ("photo", "drawn", "score", "nms", "table", "message"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
    context.close()
