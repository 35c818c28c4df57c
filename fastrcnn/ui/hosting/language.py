"""A middleware for ?lang=: the page opens in the language of the address, not of the browser.

Gradio has no setting for the language: neither `gr.I18n` nor `launch` nor the address names one,
and the list in its settings changes it only until the page is loaded again. It takes the language
from the browser before any script of the page can run. So a script at the head of the document
lets the browser name the language of the address. The page's own texts (shared/texts.js) take
theirs from the browser too. Two tests fail when a new Gradio reads the language elsewhere, or can
be told.
"""

from __future__ import annotations

from collections.abc import Container

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT = "<script>Object.defineProperty(navigator, 'language', {{ value: '{}' }})</script>"


class LanguageMiddleware:
    """ASGI middleware. languages: those that the page has; any other is left to the browser."""

    def __init__(self, app: ASGIApp, languages: Container[str]) -> None:
        self._app = app
        self._languages = languages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        language = None
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            language = Request(scope).query_params.get("lang")
        if language not in self._languages:
            return await self._app(scope, receive, send)
        script = _SCRIPT.format(language).encode()
        start: Message = {}
        body = b""

        async def send_with_script(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            document = body.replace(b"<head>", b"<head>" + script, 1)
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(document))
            await send(start)
            await send({"type": "http.response.body", "body": document})

        await self._app(scope, receive, send_with_script)
