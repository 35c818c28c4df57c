"""What reaches Gradio at all, and how large it may be: a middleware before all its routes.

Gradio's own routes read a question of any size into memory, fetch addresses that a visitor names,
keep what is sent under names that two visitors can share, and answer what they do not understand
with a traceback on the server. Behind the gate they get plain questions about the page's own
functions, and files that were sent here.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from gradio.server_messages import UnexpectedErrorMessage
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastrcnn.errors import reason
from fastrcnn.ui.hosting import uploads

if TYPE_CHECKING:
    from fastrcnn.ui.page import Page

_API = "/gradio_api"
_QUESTION_MB = 1
_ENVELOPE_BYTES = 2**16  # what a form adds to the file in it
_ASKED_EVERY = 2**20  # bytes of a file that come before it is asked again whether there is room
_SENDING_SECONDS = 600.0  # that a file may take to come
# Gradio would fetch what lies elsewhere, write the state of a session to a file, or go on telling
# for as long as it is listened to.
_CLOSED = (
    *(f"{_API}/file=http:", f"{_API}/file=https:", f"{_API}/file/", f"{_API}/proxy="),
    *(f"{_API}/deep_link", f"{_API}/dev/", f"{_API}/custom_component/", f"{_API}/stream/"),
)
_LONGEST_NAME = 255  # bytes of a file's
_PLAIN = (f"{_API}/cancel", f"{_API}/reset")


class _Refused(Exception):
    """With the status of the answer and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gate:
    """ASGI middleware for one page."""

    def __init__(self, app: ASGIApp, page: Page) -> None:
        self._app = app
        self._page = page
        self._open = 0  # requests that are being answered
        self._coming = 0  # bytes that have come of files that are being sent
        self._asked_bytes = 0  # of questions that are being read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        self._open += 1
        try:
            await self._let_in(scope, receive, send)
        finally:
            self._open -= 1

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        try:
            if self._open > (most := self._page.limits.connections):
                raise _Refused(
                    503,
                    f"This page answers {most} requests at a time, which is all that it may; try "
                    f"again in a minute.",
                )
            if scope["method"] == "POST" and path == f"{_API}/upload":
                await self._upload(scope, receive, send)
            elif path.startswith(f"{_API}/mcp") and self._page.mcp_server:
                # Its tools ask the page in turn, by way of the gate. The question holds a picture.
                async with self._body(receive, 2 * self._page.limits.upload_mb + 1) as body:
                    await self._app(scope, _again(body, receive), send)
            elif scope["method"] == "POST":
                async with self._body(receive, _QUESTION_MB) as body:
                    await self._app(scope, _again(self._question(path, body), receive), send)
            elif path == f"{_API}/queue/data" and not self._is_known(_asked(scope, "session_hash")):
                await _gone(scope, receive, send)
            elif self._leads_nowhere(scope, path):
                raise _Refused(404, "This page has no such address.")
            elif path.startswith(f"{_API}/heartbeat/"):
                with self._here(path.rsplit("/", 1)[1]):
                    await self._app(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except FileNotFoundError:
            if not path.startswith(f"{_API}/file="):
                raise
            return  # it was swept away just before it would have been read
        except _Refused as refused:
            # As Gradio words its own answers, which the browser looks for the sentence in.
            upload = path == f"{_API}/upload"
            answer: Response = (
                PlainTextResponse(str(refused), refused.status)
                if upload
                else JSONResponse({"detail": str(refused)}, refused.status)
            )
            await answer(scope, receive, send)

    def _leads_nowhere(self, scope: Scope, path: str) -> bool:
        """Whether Gradio would have no answer, or a traceback for one."""
        if path.startswith(f"{_API}/call/"):
            return not self._is_known(path.rsplit("/", 1)[1])
        return (
            path.startswith(_CLOSED)
            or any(len(name.encode()) > _LONGEST_NAME for name in path.split("/"))
            or _asked(scope, "page") is not None  # there is one
            or _asked(scope, "deep_link") is not None
        )

    def _is_known(self, name: str | None) -> bool:
        """Whether a session, or an event without one, has something to be told."""
        queue = self._page._queue
        return (
            name in queue.pending_messages_per_session
            or name in queue.event_ids_to_events
            or any(name in events for events in queue.pending_event_ids_session.values())
        )

    @contextmanager
    def _here(self, session: str) -> Iterator[None]:
        """A browser keeps this connection open for as long as it shows the page."""
        present = self._page.present
        present[session] += 1
        try:
            yield
        finally:
            present[session] -= 1
            if present[session] <= 0:
                del present[session]

    # Questions

    @asynccontextmanager
    async def _body(self, receive: Receive, most_mb: float) -> AsyncIterator[bytes]:
        """A question's body, which counts towards what all of them may have for as long as it is
        here."""
        parts: list[bytes] = []
        size, most = 0, self._page.limits.uploads_mb
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._asked_bytes += len(parts[-1])
                if size > most_mb * 2**20:
                    raise _Refused(413, f"A question to this page may have at most {most_mb:g} MB.")
                if self._asked_bytes > most * 2**20:
                    raise _Refused(
                        503,
                        f"This page is asked questions of {most:g} MB, which is all that it may; "
                        f"try again in a minute.",
                    )
                if not message.get("more_body"):
                    break
            yield b"".join(parts)
        finally:
            self._asked_bytes -= size

    def _question(self, path: str, body: bytes) -> bytes:
        """What Gradio is to read in place of `body`."""
        if path in _PLAIN:
            return body
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict):
                raise ValueError
            if path == f"{_API}/queue/join":
                asked = self._event(asked, asked.get("fn_index"))
            elif path == f"{_API}/component_server":
                asked = self._component(asked)
            elif path.startswith(f"{_API}/call/v2/"):
                asked = self._named(path.removeprefix(f"{_API}/call/v2/"), asked)
            elif path.startswith(f"{_API}/call/"):
                name = path.removeprefix(f"{_API}/call/")
                asked = self._event(asked, self._function(name))
                del asked["fn_index"]
            else:
                raise _Refused(404, "This page has no such address.")
            return json.dumps(asked).encode()
        except (ValueError, RecursionError):
            raise _Refused(400, "A question to this page is a JSON object.") from None

    def _event(self, asked: dict, index: object) -> dict:
        """An event's function by its number, its inputs, and whose it is."""
        function = self._page.fns.get(index) if type(index) is int else None
        data = asked.get("data")
        if function is None or not isinstance(data, list) or len(data) != len(function.inputs):
            raise _Refused(422, "This page has no function that takes these values.")
        event = {
            "fn_index": index,
            "data": [
                self._value(value, block)
                for value, block in zip(data, function.inputs, strict=True)
            ],
            "event_data": _without_files(asked.get("event_data")),
        }
        session = asked.get("session_hash")
        if session is not None:
            event["session_hash"] = _session(session)
        if type(asked.get("trigger_id")) is int:
            event["trigger_id"] = asked["trigger_id"]
        return event

    def _function(self, name: str) -> int:
        functions = {function.api_name: index for index, function in self._page.fns.items()}
        if name not in functions:
            known = [n for n in functions if isinstance(n, str) and self._is_public(functions[n])]
            raise _Refused(404, f"There is no such endpoint; there are {', '.join(known)}.")
        return functions[name]

    def _is_public(self, index: int) -> bool:
        return self._page.fns[index].api_visibility == "public"

    def _named(self, name: str, asked: dict) -> dict:
        function = self._page.fns[self._function(name)]
        assert function.fn is not None
        names = list(inspect.signature(function.fn).parameters)[: len(function.inputs)]
        blocks = dict(zip(names, function.inputs, strict=True))
        required = {name for name, block in blocks.items() if getattr(block, "value", None) is None}
        if not required <= set(asked) <= set(names):
            raise _Refused(422, f"{name} takes {', '.join(names)}, by name.")
        return {key: self._value(value, blocks[key]) for key, value in asked.items()}

    def _value(self, value: object, block: gr.blocks.Block) -> object:
        """An input's value: for a picture only where its file is, which the endpoints check.

        Nothing is marked as a file, for Gradio would fetch it from wherever it says to be.
        """
        if not isinstance(block, gr.Image):
            return _without_files(value)
        if not isinstance(value, dict) or not isinstance(value.get("path"), str):
            return None
        path, name = value["path"], value.get("orig_name")
        return {"path": path, "orig_name": name if isinstance(name, str) else None}

    def _component(self, asked: dict) -> dict:
        """A question to a custom view's server functions."""
        number, name = asked.get("component_id"), asked.get("fn_name")
        if type(number) is not int or number not in self._page.blocks or type(name) is not str:
            raise _Refused(404, "This page has no such function.")
        return {
            "component_id": number,
            "fn_name": name,
            "session_hash": _session(asked.get("session_hash")),
            "data": asked.get("data"),
        }

    # Files

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio takes the file in; then it is moved to where nobody else's can be."""
        limits = self._page.limits
        too_large = _Refused(
            413, f"A file may have at most {limits.upload_mb:g} MB here; send a smaller picture."
        )
        no_form = _Refused(400, "A picture is sent as a form with one file.")
        most = int(limits.upload_mb * 2**20) + _ENVELOPE_BYTES
        length = _length(scope)
        if length is not None and length > most:
            raise too_large
        await self._ask_for_room(most if length is None else length)
        try:
            status, answer = await self._taken_in(scope, receive, most, too_large)
            if status == 413:
                raise too_large
            if status != 200:
                raise no_form
            paths = [str(_move(Path(path))) for path in json.loads(answer)]
        except (_Refused, ClientDisconnect):
            raise
        except OSError as error:
            raise _Refused(
                507, f"The file could not be kept ({reason(error)}); try again later."
            ) from error
        except Exception as error:  # Gradio trips over forms that it does not expect
            raise no_form from error
        await JSONResponse(paths)(scope, receive, send)

    async def _ask_for_room(self, expected: int) -> None:
        """Whether so many bytes of files may still come."""
        most = self._page.limits.uploads_mb
        kept = await asyncio.to_thread(uploads.size)  # a long look where there are many
        if kept + self._coming + expected > most * 2**20 + _ENVELOPE_BYTES:
            raise _Refused(
                503,
                f"This page holds {most:g} MB of files, which is all that it may; try again in a "
                f"few minutes.",
            )

    async def _taken_in(
        self, scope: Scope, receive: Receive, most: int, too_large: _Refused
    ) -> tuple[int, bytes]:
        """Gradio's answer to a file of at most so many bytes, form and all.

        Room is not kept for what is announced, or a few who announce much and send nothing would
        take it from all others; it is asked for again as the file comes.
        """
        seen = asked = 0
        refused: _Refused | None = None
        told: list[Message] = []
        until = time.monotonic() + _SENDING_SECONDS

        async def some() -> Message:
            nonlocal seen, asked
            try:
                message = await asyncio.wait_for(receive(), until - time.monotonic())
            except asyncio.TimeoutError:
                raise _Refused(408, "The file took too long to come; send it again.") from None
            size = len(message.get("body", b""))
            seen += size
            self._coming += size
            if seen > most:
                raise too_large
            if seen - asked > _ASKED_EVERY:
                asked = seen
                await self._ask_for_room(0)
            return message

        async def counted() -> Message:
            nonlocal refused
            if refused is None:
                try:
                    return await some()
                except _Refused as error:
                    refused = error
            # Whoever asks for the rest nevertheless does not wait for it.
            raise refused

        async def hold(message: Message) -> None:
            told.append(message)

        try:
            await self._app(scope, counted, hold)
        finally:
            self._coming -= seen
        return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


def _move(path: Path) -> Path:
    """Gradio names files by their content, so that two visitors may have sent the same one."""
    return path.rename(uploads.place() / path.name)


def _asked(scope: Scope, name: str) -> str | None:
    return Request(scope).query_params.get(name)


async def _gone(scope: Scope, receive: Receive, send: Send) -> None:
    """What Gradio tells the browser of a session that the server does not know, or not any more."""
    message = UnexpectedErrorMessage(message="404: Not Found", session_not_found=True)
    told = f"data: {message.model_dump_json()}\n\n"
    await PlainTextResponse(told, media_type="text/event-stream")(scope, receive, send)


def _length(scope: Scope) -> int | None:
    """How many bytes are to come, where that is said."""
    length = Request(scope).headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` as it was before `body`."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


def _session(session: object) -> str:
    if not isinstance(session, str) or not 0 < len(session) <= 100:
        raise _Refused(422, "A session is named by at most 100 letters and digits.")
    return session


def _without_files(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_files(v) for k, v in value.items() if k not in ("path", "url")}
    return [_without_files(item) for item in value] if isinstance(value, list) else value
