"""?lang= in the address, as the document that comes back has it."""

from __future__ import annotations

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
