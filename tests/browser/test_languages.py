"""The page in the language of whoever opens it: Korean where the browser is, English elsewhere."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from fastrcnn.ui.texts import TEXTS
from tests.browser.conftest import PATIENCE, STATIONS, open_station, upload

pytestmark = pytest.mark.system

# All words on the page and in what is read out of it, but for names: of files, classes and terms.
# What a list offers is names too: of recipes and of their settings' values.
WORDS = """() => {
  const found = [];
  const walk = (node) => {
    if (node.nodeType === Node.TEXT_NODE) found.push(node.textContent.trim());
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (["STYLE", "SCRIPT", "OPTION"].includes(node.tagName)) return;
    for (const name of ["aria-label", "aria-roledescription", "title", "placeholder", "alt"]) {
      if (node.getAttribute(name)) found.push(node.getAttribute(name).trim());
    }
    node.childNodes.forEach(walk);
  };
  document.querySelectorAll(".view, #tabs > .tab-wrapper").forEach(walk);
  return found.filter((word) => word && word !== "한국어"); // a language's name is in that language
}"""
# Texts without a value in them that are not the same in both. Examples are named like classes.
ENGLISH = {
    text: key
    for key, text in TEXTS["en"].items()
    if not re.search(r"[{\[]", text) and text != TEXTS["ko"][key] and not key.startswith("class.")
}


@pytest.fixture
def open_in(browser, address):
    """Opens the page in a browser of this language, its first example analysed."""
    contexts = []

    def open_in(language: str, width: int = 1280, search: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, locale=language)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.goto(address + search)
        page.locator(".life .fate").wait_for()
        return page

    yield open_in
    for context in contexts:
        context.close()


def assert_no_english(page: Page) -> None:
    shown = page.evaluate(WORDS)
    assert len(shown) > 50
    assert not [(text, ENGLISH[text]) for text in shown if text in ENGLISH]


def test_a_korean_browser_gets_korean(open_in, photo):
    page = open_in("ko-KR")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator(".explore .status")).to_contain_text("분석했습니다")
    expect(page.get_by_role("tab", name="살펴보기")).to_be_visible()
    expect(page.get_by_role("heading", name="Fast R-CNN 속을 들여다보기")).to_be_visible()
    for station in STATIONS:
        open_station(page, station)
        assert_no_english(page)  # with the question
        if page.locator(".guess .skip").count():
            page.locator(".guess .skip").click()
        assert_no_english(page)  # with the lesson
    page.locator(".lessons .term").first.hover()
    expect(page.locator("#tip")).to_have_text(re.compile("[가-힣]"))
    upload(page, photo)
    expect(page.locator(".explore .status")).to_contain_text(f"{photo.name}: ")


def test_korean_in_the_train_tab_and_from_the_server(open_in):
    page = open_in("ko-KR")
    page.get_by_role("tab", name="학습").click()
    expect(page.locator(".go")).to_have_text("시작")
    assert_no_english(page)
    page.locator("input[name=pictures]").fill("0")
    page.locator(".go").click()
    expect(page.locator(".train .status")).to_have_text(TEXTS["ko"]["server.one-picture"])


def test_korean_names_of_what_is_found_in_the_teach_tab(open_in, photo):
    page = open_in("ko-KR")
    page.get_by_role("tab", name="가르치기").click()
    page.locator(".teach .upload input").set_input_files(str(photo))
    page.locator(".teach .photos canvas").wait_for()
    page.evaluate(
        """async () => {
          const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
          const { change, state } = await import(
            loaded.find((name) => name.includes("teach/page.js")));
          const found = [{ label: "dog", score: 0.93, box: [0, 0, 9, 9] }];
          change({ photos: state.photos.map((photo) => ({ ...photo, found })) });
        }"""
    )
    expect(page.locator(".photo-text")).to_contain_text(f"{TEXTS['ko']['class.dog']} 0.93")


@pytest.mark.parametrize("language", ["en-GB", "fr-FR"])
def test_every_other_browser_gets_english(open_in, language):
    page = open_in(language)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".explore .status")).to_contain_text("analysed in")
    expect(page.get_by_role("heading", name="Fast R-CNN, opened up")).to_be_visible()
    expect(page.get_by_role("tab", name="Train")).to_be_visible()
    assert not any(re.search("[가-힣]", text) for text in page.evaluate(WORDS))


def test_korean_fits_a_narrow_screen(open_in):
    page = open_in("ko-KR", width=390)
    for text in page.locator(".header h1, .explore .lead, .lessons h3").all():
        assert text.evaluate("e => getComputedStyle(e).wordBreak") == "keep-all"
    for station in STATIONS:
        open_station(page, station)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_address_chooses_the_language_of_the_page_of_gradio_and_of_its_links(open_in):
    page = open_in("en-GB", search="?lang=ko")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.get_by_role("tab", name="살펴보기")).to_be_visible()
    page.locator(".own-photo").click()
    expect(page.locator("#photo")).to_contain_text("이미지를 여기에 드롭")
    page.keyboard.press("Escape")
    open_station(page, "head")
    page.locator(".guess .skip").click()
    names = page.locator(".bars .bar").all_inner_texts()
    assert names and all(re.search("[가-힣]", name) for name in names)
    open_station(page, "result")
    page.locator(".copy-link").click()
    expect(page.locator(".link-text")).not_to_be_empty()
    assert "?lang=ko#" in page.url
    page.get_by_role("link", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("tab", name="Explore")).to_be_visible()
    assert "?lang=en#" in page.url
