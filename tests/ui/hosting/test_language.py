"""?lang= in the address, as the document that comes back has it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import gradio as gr
import httpx
import pytest

from tests.ui.conftest import served


@pytest.fixture(scope="module")
def address(detector):
    with served(detector) as (_, address):
        yield address


def test_the_document_lets_the_browser_name_the_language_of_the_address(address):
    plain = httpx.get(address)
    korean = httpx.get(address, params={"lang": "ko"})
    script = "<script>Object.defineProperty(navigator, 'language', { value: 'ko' })</script>"
    assert script not in plain.text
    # Before all other scripts, and nothing else is changed.
    assert korean.text.index("<script") == korean.text.index(script)
    assert korean.text.replace(script, "") == plain.text
    assert int(korean.headers["content-length"]) == len(korean.content)


@pytest.mark.parametrize("language", ["fr", "", "ko'", "</script>"])
def test_a_language_that_the_page_lacks_is_left_to_the_browser(address, language):
    assert httpx.get(address, params={"lang": language}).text == httpx.get(address).text


def test_gradio_still_takes_its_language_from_the_browsers_name_for_it():
    """The name that the script gives; see the head of the module."""
    frontend = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    readers = [
        path.name
        for path in frontend.glob("*.js")
        if "window.navigator.language||" in path.read_text(encoding="utf-8")
    ]
    assert readers


def test_gradio_still_has_no_setting_for_the_language():
    """As soon as there is one, the page should use it in place of the script."""
    names = [
        name
        for function in (gr.I18n.__init__, gr.Blocks.__init__, gr.Blocks.launch)
        for name in inspect.signature(function).parameters
    ]
    assert "i18n" in names
    assert not [name for name in names if re.search("lang|locale", name)]
