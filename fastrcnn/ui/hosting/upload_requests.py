"""Requests that upload a file: their size and time limits, and where the file is stored."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastrcnn.errors import reason
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.refused import Refused

_FORM_BYTES = 2**16  # what the form adds to the size of its file
_CHECK_EVERY = 2**20  # bytes of a file between two checks of the room that is left
SECONDS = 600.0  # the longest that the body of a request may take to come


class UploadRequests:
    """The uploads to one page; `app` is Gradio."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._coming = 0  # bytes received so far of unfinished files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio receive the file, then move it to its own folder. Raises Refused."""
        too_large = Refused(
            413,
            f"A file may have at most {self._limits.upload_mb:g} MB here; send a smaller picture.",
        )
        no_form = Refused(400, "A picture is sent as a form with one file.")
        most = int(self._limits.upload_mb * 2**20) + _FORM_BYTES
        length = Request(scope).headers.get("content-length", "")
        size = int(length) if length.isdecimal() else most
        if size > most:
            raise too_large
        await self._check_room(size)
        try:
            status, reply = await self._receive(scope, receive, most, too_large)
            if status == 413:
                raise too_large
            if status != 200:
                raise no_form
            paths = [str(_move(Path(path))) for path in json.loads(reply)]
        except (Refused, ClientDisconnect):
            raise
        except OSError as error:
            raise Refused(
                507, f"The file could not be kept ({reason(error)}); try again later."
            ) from error
        except Exception as error:  # Gradio fails on unexpected forms
            raise no_form from error
        await JSONResponse(paths)(scope, receive, send)

    async def _check_room(self, size: int) -> None:
        """Raises Refused if `size` more bytes are too many for all files together."""
        most = self._limits.uploads_mb
        kept = await asyncio.to_thread(uploads.size)  # slow if there are many files
        if kept + self._coming + size > most * 2**20 + _FORM_BYTES:
            raise Refused(
                503,
                f"This page holds {most:g} MB of files, which is all that it may; try again in a "
                f"few minutes.",
            )

    async def _receive(
        self, scope: Scope, receive: Receive, most: int, too_large: Refused
    ) -> tuple[int, bytes]:
        """Status and body of Gradio's reply to an upload of at most `most` bytes.

        The announced length reserves no room. Otherwise a few visitors could announce much, send
        nothing, and take the room from all others. The room is checked as the bytes come.
        """
        size = checked = 0
        refused: Refused | None = None
        reply: list[Message] = []
        deadline = time.monotonic() + SECONDS

        async def next_part() -> Message:
            nonlocal size, checked
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise Refused(408, "The file took too long to come; send it again.") from None
            length = len(message.get("body", b""))
            size += length
            self._coming += length
            if size > most:
                raise too_large
            if size - checked > _CHECK_EVERY:
                checked = size
                await self._check_room(0)
            return message

        async def limited() -> Message:
            nonlocal refused
            if refused is None:
                try:
                    return await next_part()
                except Refused as error:
                    refused = error
            # Gradio may still ask for the rest. It must not wait for it.
            raise refused

        async def keep(message: Message) -> None:
            reply.append(message)

        try:
            await self._app(scope, limited, keep)
        finally:
            self._coming -= size
        return reply[0]["status"], b"".join(message.get("body", b"") for message in reply[1:])


def _move(path: Path) -> Path:
    """Move a file to its own folder. Gradio's names would make visitors share equal files."""
    return path.rename(uploads.new_folder() / path.name)
