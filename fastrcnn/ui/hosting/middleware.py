"""A middleware before all of Gradio's routes. It decides which requests reach Gradio.

Gradio's own routes read a request of any size into memory and fetch addresses that a visitor names.
They answer a malformed request with a traceback on the server. Behind this middleware they get only
plain requests to the page's own functions, and files that were uploaded here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import gradio as gr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastrcnn.ui.hosting import gradio_private as gradio
from fastrcnn.ui.hosting.json_requests import JsonRequests
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.refused import Refused
from fastrcnn.ui.hosting.upload_requests import SECONDS, UploadRequests

_JSON_MB = 1
_LONGEST_NAME = 255  # bytes of a file's name


class PageMiddleware:
    """ASGI middleware for one page.

    present: counts each session's open connections. A session has one while its page is open.
    """

    def __init__(
        self, app: ASGIApp, page: gr.Blocks, limits: Limits, present: Counter[str]
    ) -> None:
        self._app = app
        self._page = page
        self._limits = limits
        self._present = present
        self._uploads = UploadRequests(app, limits)
        self._json = JsonRequests(page)
        self._open = 0  # the number of requests in progress
        self._body_bytes = 0  # the bytes of their bodies, without uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        self._open += 1
        try:
            await self._reply(scope, receive, send)
        finally:
            self._open -= 1

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        try:
            await self._pass_on(path, scope, receive, send)
        except ClientDisconnect:
            return  # the client has disconnected
        except (FileNotFoundError, RuntimeError):  # Starlette raises either for a missing file
            file = path.removeprefix(gradio.FILE)
            if file == path or os.path.exists(file):
                raise
            return  # the file was deleted after Gradio had found it
        except Refused as refused:
            # The format of Gradio's own replies: the browser looks for the sentence there.
            reply: Response = (
                PlainTextResponse(str(refused), refused.status)
                if path == gradio.UPLOAD
                else JSONResponse({"detail": str(refused)}, refused.status)
            )
            await reply(scope, receive, send)

    async def _pass_on(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on to Gradio. Raises Refused."""
        if self._open > (most := self._limits.connections):
            raise Refused(
                503,
                f"This page answers {most} requests at a time, which is all that it may; try "
                f"again in a minute.",
            )
        if scope["method"] == "POST" and path == gradio.UPLOAD:
            await self._uploads(scope, receive, send)
        elif path.startswith(gradio.MCP) and gradio.serves_mcp(self._page):
            # MCP tools call the page over HTTP, through this middleware. The body holds a picture.
            async with self._body(receive, 2 * self._limits.upload_mb + 1) as body:
                await self._app(scope, _replay(body, receive), send)
        elif scope["method"] == "POST":
            async with self._body(receive, _JSON_MB) as body:
                await self._app(scope, _replay(self._json.checked(path, body), receive), send)
        elif path == gradio.EVENTS and not gradio.is_known(
            self._page, _parameter(scope, "session_hash")
        ):
            events = PlainTextResponse(gradio.session_not_found(), media_type="text/event-stream")
            await events(scope, receive, send)
        elif self._leads_nowhere(scope, path):
            raise Refused(404, "This page has no such address.")
        elif path.startswith(gradio.HEARTBEAT):
            with self._is_present(path.rsplit("/", 1)[1]):
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _leads_nowhere(self, scope: Scope, path: str) -> bool:
        """Whether Gradio would give no reply, or reply with a traceback."""
        if path.startswith(gradio.CALL):
            return not gradio.is_known(self._page, path.rsplit("/", 1)[1])
        return (
            path.startswith(gradio.CLOSED)
            or any(len(name.encode()) > _LONGEST_NAME for name in path.split("/"))
            or _parameter(scope, "page") is not None  # there is one page
            or _parameter(scope, "deep_link") is not None
        )

    @contextmanager
    def _is_present(self, session: str) -> Iterator[None]:
        """A browser keeps this connection open for as long as it shows the page."""
        self._present[session] += 1
        try:
            yield
        finally:
            self._present[session] -= 1
            if self._present[session] <= 0:
                del self._present[session]

    @asynccontextmanager
    async def _body(self, receive: Receive, most_mb: float) -> AsyncIterator[bytes]:
        """A request's body. It counts towards the limit of all bodies until the context ends."""
        parts: list[bytes] = []
        size, most = 0, self._limits.uploads_mb
        deadline = time.monotonic() + SECONDS
        try:
            while True:
                try:
                    message = await asyncio.wait_for(receive(), deadline - time.monotonic())
                except asyncio.TimeoutError:
                    raise Refused(408, "The request took too long to come.") from None
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._body_bytes += len(parts[-1])
                if size > most_mb * 2**20:
                    raise Refused(413, f"A request to this page may have at most {most_mb:g} MB.")
                if self._body_bytes > most * 2**20:
                    raise Refused(
                        503,
                        f"This page holds requests of {most:g} MB, which is all that it may; try "
                        f"again in a minute.",
                    )
                if not message.get("more_body"):
                    break
            yield b"".join(parts)
        finally:
            self._body_bytes -= size


def _parameter(scope: Scope, name: str) -> str | None:
    return Request(scope).query_params.get(name)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the `body` again, which has been read already."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay
