"""What both custom views hear from the server: answers, and one sentence where there is none."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import wraps

from fastrcnn.errors import FastRCNNError, reason
from fastrcnn.ui.texts import Said, said, text


def told(sentence: str) -> dict:
    """A sentence for the browser, in English and, where it is one of the page's own, by its key."""
    if isinstance(sentence, Said):
        return {"error": str(sentence), "said": {"key": sentence.key, "values": sentence.values}}
    return {"error": sentence}


def apology(sentence: str) -> dict:
    """A note that something went wrong; no two are equal, for the browser hears of changes only."""
    return told(sentence) | {"serial": secrets.token_hex(4)}


def apology_in_browser(sentence: str) -> str:
    """A script that makes such a note without the server, whose queue may be full."""
    return f"() => [{{...{json.dumps(told(sentence))}, serial: String(Math.random())}}]"


def answering(question: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """A function for the browser: what is asked wrongly is answered in one sentence."""

    @wraps(question)
    def answer(asked: dict) -> dict:
        try:
            if not isinstance(asked, dict):
                raise FastRCNNError(text("server.question"))
            return question(asked)
        except FastRCNNError as error:
            return told(said(error))
        except OSError as error:  # a full disk, or a training's folder that goes in this moment
            return told(text("server.disk", reason=reason(error)))

    return answer
