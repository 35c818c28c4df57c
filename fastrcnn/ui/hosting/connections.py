"""Closes connections that ask for nothing.

The middleware sees requests only. A client may also connect and send nothing, or never end a
request. The server would keep each such connection, until the process has no file left to open.
"""

from __future__ import annotations

import asyncio
import time

import gradio as gr

from fastrcnn.ui.hosting.gradio_private import idle_connections
from fastrcnn.ui.hosting.limits import Limits

_LOOK_EVERY = 1.0  # seconds


async def close_idle(page: gr.Blocks, limits: Limits) -> None:
    """Again and again: close what has been idle for too long, and the longest idle of too many."""
    since: dict[tuple[asyncio.Transport, object], float] = {}
    while True:
        now = time.monotonic()
        since = {idle: since.get(idle, now) for idle in idle_connections(page)}
        too_many = len(since) - limits.connections
        for number, idle in enumerate(sorted(since, key=lambda idle: since[idle])):
            if number < too_many or now - since[idle] >= limits.connection_seconds:
                idle[0].close()
        await asyncio.sleep(min(_LOOK_EVERY, limits.connection_seconds))
