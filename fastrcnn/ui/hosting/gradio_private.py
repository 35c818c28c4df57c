"""The only module that uses undocumented names of Gradio, and of its server uvicorn.

A new version may move any of them. Each has a test in tests/ui/hosting, which then
fails.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components.api_component import Api
from gradio.route_utils import API_PREFIX
from gradio.server_messages import UnexpectedErrorMessage

# Routes. All but the page itself and its assets begin with `API_PREFIX`.

UPLOAD = f"{API_PREFIX}/upload"
FILE = f"{API_PREFIX}/file="
JOIN = f"{API_PREFIX}/queue/join"
EVENTS = f"{API_PREFIX}/queue/data"
CALL = f"{API_PREFIX}/call/"
CALL_BY_NAME = f"{API_PREFIX}/call/v2/"
COMPONENT_SERVER = f"{API_PREFIX}/component_server"
HEARTBEAT = f"{API_PREFIX}/heartbeat/"
CANCEL = f"{API_PREFIX}/cancel"
RESET = f"{API_PREFIX}/reset"
MCP = f"{API_PREFIX}/mcp"
# The page needs none of these. They fetch from other hosts, write a session's state to a file, or
# send for as long as the client stays connected.
CLOSED = (
    *(f"{FILE}http:", f"{FILE}https:", f"{API_PREFIX}/file/", f"{API_PREFIX}/proxy="),
    *(f"{API_PREFIX}/deep_link", f"{API_PREFIX}/dev/", f"{API_PREFIX}/custom_component/"),
    f"{API_PREFIX}/stream/",
)


# Functions of a page. Each has a number. Those that programs may call have a name too.


def function_inputs(page: gr.Blocks, number: object) -> list[Block] | None:
    """The inputs of a function, or None if the page has no function with this number."""
    function = page.fns.get(number) if type(number) is int else None
    return None if function is None else list(function.inputs)


def public_functions(page: gr.Blocks) -> dict[str, int]:
    """The numbers of the functions that programs may call, by name."""
    return {
        str(function.api_name): number
        for number, function in page.fns.items()
        if function.api_visibility == "public"
    }


def named_inputs(page: gr.Blocks, number: int) -> dict[str, Block]:
    """The inputs of a function by the names of its parameters."""
    function = page.fns[number]
    assert function.fn is not None
    names = list(inspect.signature(function.fn).parameters)[: len(function.inputs)]
    return dict(zip(names, function.inputs, strict=True))


def default_value(block: Block) -> Any:
    """An input's default value for programs, or None if a program must give a value."""
    return getattr(block, "value", None)


def has_component(page: gr.Blocks, number: object) -> bool:
    """Whether the page has a component with this number."""
    return type(number) is int and number in page.blocks


def input_of_schema(schema: dict, label: str) -> gr.components.Component:
    """An input for programs alone, described by a JSON schema."""
    return Api(None, schema, label)


def serves_mcp(page: gr.Blocks) -> bool:
    """Whether the page is an MCP server too."""
    return bool(page.mcp_server)


# Events


def event_values(event: gr.EventData) -> dict:
    """The data that a custom view's script sent with an event. Empty if it is not an object."""
    return event._data if isinstance(event._data, dict) else {}


def is_known(page: gr.Blocks, name: str | None) -> bool:
    """Whether Gradio has or had messages for a session, or for an event without a session."""
    queue = page._queue
    return (
        name in queue.pending_messages_per_session
        or name in queue.event_ids_to_events
        or any(name in events for events in queue.pending_event_ids_session.values())
    )


def session_not_found() -> str:
    """The server-sent event that tells a browser that its session is gone."""
    message = UnexpectedErrorMessage(message="404: Not Found", session_not_found=True)
    return f"data: {message.model_dump_json()}\n\n"


# Connections


def idle_connections(page: gr.Blocks) -> list[tuple[asyncio.Transport, object]]:
    """The connections without a request in progress, each with its last request, None if none.

    A request that has not come whole, up to its body, is not in progress yet.
    """
    server = getattr(page, "server", None)  # there is none while the page starts
    return [
        (connection.transport, connection.cycle)
        for connection in (server.server_state.connections if server else ())
        if connection.cycle is None or connection.cycle.response_complete
    ]


# Files


def known_files(page: gr.Blocks) -> list[set[str]]:
    """The file names that Gradio remembers. It never forgets one by itself."""
    return page.temp_file_sets
