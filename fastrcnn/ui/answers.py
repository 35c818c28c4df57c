"""What both custom views hear from the server: answers, and one sentence where there is none."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps

from fastrcnn.errors import FastRCNNError


def apology(sentence: str) -> dict:
    """A note that something went wrong; no two are equal, for the browser hears of changes only."""
    return {"error": sentence, "serial": secrets.token_hex(4)}


def answering(question: Callable[[dict], dict]) -> Callable[[dict], dict]:
    """A function for the browser: what is asked wrongly is answered in one sentence."""

    @wraps(question)
    def answer(asked: dict) -> dict:
        try:
            if not isinstance(asked, dict):
                raise FastRCNNError("A question to the server is a set of names and values.")
            return question(asked)
        except FastRCNNError as error:
            return {"error": str(error)}

    return answer
