"""Every text of the page, in each of its languages: LANGUAGE.json, one key a text.

The browser chooses: it shows the visitor's language where there is one, else English. What the
server has to say crosses as the key of a text with its values. In a text ``{name}`` stands for a
value, and ``[words|term]`` (or ``[term]``) for words that ``term.TERM`` explains.
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
# Gradio's own components take theirs from here.
I18N = gr.I18n(
    **{
        language: {key: value for key, value in texts.items() if key.startswith("page.")}
        for language, texts in TEXTS.items()
    }
)


class Said(str):
    """A text in English that can be said in another language: its key and its values."""

    key: str
    values: dict[str, Any]


def text(key: str, **values: Any) -> Said:
    """A text of the server's, for an error or a note. Raises KeyError for an unknown key."""
    said = Said(TEXTS["en"][key].format_map(values))
    said.key, said.values = key, values
    return said


def shown(key: str) -> I18nData:
    """A text for one of Gradio's own components, which says it in the visitor's language."""
    return I18N(key)


def said(error: Exception) -> str:
    """The sentence of an error: a `Said` where it is one of the page's own."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, Said) else str(error)
