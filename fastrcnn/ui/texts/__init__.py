"""Every text of the page in each of its languages. LANGUAGE.json has one key for each text.

The browser loads the file of the visitor's language, or else the English one. The server sends a
text to the browser as its key and values. In a text ``{name}`` stands for a value, and
``[words|term]`` (or ``[term]``) for words that ``term.TERM`` explains.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

_HERE = Path(__file__).parent
LANGUAGES = ("en", "ko")
TEXTS: dict[str, dict[str, str]] = {
    language: json.loads((_HERE / f"{language}.json").read_text(encoding="utf-8"))
    for language in LANGUAGES
}
# Gradio's own components take their texts from here.
I18N = gr.I18n(
    **{
        language: {key: value for key, value in texts.items() if key.startswith("page.")}
        for language, texts in TEXTS.items()
    }
)


class Text(str):
    """A text in English that the browser can show in another language by its key and values."""

    key: str
    values: dict[str, Any]


def text(key: str, **values: Any) -> Text:
    """A text of the server for an error or a note. Raises KeyError for an unknown key."""
    made = Text(TEXTS["en"][key].format_map(values))
    made.key, made.values = key, values
    return made


def gradio_text(key: str) -> I18nData:
    """A text for one of Gradio's own components, which shows it in the visitor's language."""
    return I18N(key)


def text_of(error: Exception) -> str:
    """The sentence of an error: a `Text` where it is one of the page's own."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, Text) else str(error)
