"""The server's answers to the views: a reply, or one sentence that says why there is none."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import wraps

from fastrcnn.errors import FastRCNNError, reason
from fastrcnn.ui.texts import Text, text, text_of


def error_reply(sentence: str) -> dict:
    """A sentence in English. If it is a text of the page, its key and values come with it."""
    if isinstance(sentence, Text):
        return {"error": str(sentence), "text": {"key": sentence.key, "values": sentence.values}}
    return {"error": sentence}


def error_note(sentence: str) -> dict:
    """A view's value that says what went wrong.

    No two are equal, because Gradio sends a value to the browser only when it has changed.
    """
    return error_reply(sentence) | {"serial": secrets.token_hex(4)}


def error_note_in_browser(sentence: str) -> str:
    """A script that makes such a note in the browser, because the server's queue may be full."""
    return f"() => [{{...{json.dumps(error_reply(sentence))}, serial: String(Math.random())}}]"


def replying(function: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """A server function for the browser. It answers wrong inputs with one sentence."""

    @wraps(function)
    def reply(inputs: dict) -> dict:
        try:
            if not isinstance(inputs, dict):
                raise FastRCNNError(text("server.inputs"))
            return function(inputs)
        except FastRCNNError as error:
            return error_reply(text_of(error))
        except OSError as error:  # a full disk, or a training's folder that was just deleted
            return error_reply(text("server.disk", reason=reason(error)))

    return reply
