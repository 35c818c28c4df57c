"""The names of Gradio that it does not document are where the page looks for them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest
from gradio.routes import App

from fastrcnn.ui.hosting import gradio_private, uploads


def double(number: int, factor: int = 2) -> int:
    return number * factor


def hide(number: int) -> int:
    return number


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def page() -> gr.Blocks:
    uploads.prepare()  # as the page does, or Gradio would make the folder, open to other users
    with gr.Blocks(analytics_enabled=False) as page:
        number, factor = gr.Number(label="number"), gr.Number(2, label="factor")
        gr.Button().click(double, [number, factor], number, api_name="double")
        gr.Button().click(hide, number, number, api_visibility="private")
    return page


@pytest.fixture
def served(page) -> Iterator[str]:
    page.queue(api_open=False)
    _, address, _ = page.launch(
        prevent_thread_lock=True, quiet=True, inbrowser=False, ssr_mode=False
    )
    yield address.rstrip("/")
    page.close()


def test_gradio_has_each_route_that_is_named(page):
    known = App.create_app(page, mcp_server=False).openapi()["paths"]
    for path in (
        *(gradio_private.UPLOAD, gradio_private.FILE, gradio_private.JOIN, gradio_private.EVENTS),
        *(gradio_private.CALL, gradio_private.CALL_BY_NAME, gradio_private.COMPONENT_SERVER),
        *(gradio_private.HEARTBEAT, gradio_private.CANCEL, gradio_private.RESET),
        *(path.removesuffix("http:").removesuffix("https:") for path in gradio_private.CLOSED),
    ):
        assert any(other.startswith(path) for other in known), path


def test_functions_are_known_by_number_and_name(page):
    names = gradio_private.public_functions(page)
    assert names.keys() == {"double"}
    inputs = gradio_private.function_inputs(page, names["double"])
    assert [block.label for block in inputs] == ["number", "factor"]
    for wrong in (99, -1, None, "0", 0.0, True):
        assert gradio_private.function_inputs(page, wrong) is None
    named = gradio_private.named_inputs(page, names["double"])
    assert {name: gradio_private.default_value(block) for name, block in named.items()} == {
        "number": None,
        "factor": 2,
    }


def test_components_are_known_by_number(page):
    number = next(number for number, block in page.blocks.items() if block.label == "factor")
    assert gradio_private.has_component(page, number)
    for wrong in (99_999, -1, None, str(number), float(number), True):
        assert not gradio_private.has_component(page, wrong)


def test_an_input_of_a_schema_is_described_by_it():
    schema = {"type": "array", "items": {"type": "number"}}
    with gr.Blocks(analytics_enabled=False) as page:
        box = gradio_private.input_of_schema(schema, "box")
        gr.Button().click(lambda box: box, box, None, api_name="look")
    (parameter,) = page.get_api_info()["named_endpoints"]["/look"]["parameters"]
    assert parameter["label"] == "box" and parameter["type"] == schema


def test_an_events_values_are_an_object_or_nothing():
    assert gradio_private.event_values(gr.EventData(None, {"name": "cow"})) == {"name": "cow"}
    for values in (None, 5, "name", ["name"]):
        assert gradio_private.event_values(gr.EventData(None, values)) == {}


def test_sessions_and_events_are_known_once_they_began(page, served):
    assert not gradio_private.is_known(page, "me")
    api = f"{served}/gradio_api"
    number = gradio_private.public_functions(page)["double"]
    event = {"fn_index": number, "data": [4, 3], "session_hash": "me"}
    assert httpx.post(f"{api}/queue/join", json=event).status_code == 200
    assert gradio_private.is_known(page, "me")
    events = httpx.get(f"{api}/queue/data", params={"session_hash": "me"}, timeout=60).text
    assert '"data":[12]' in events
    # An event without a session is named by itself.
    event_id = httpx.post(f"{api}/call/double", json={"data": [4, 3]}).json()["event_id"]
    assert gradio_private.is_known(page, event_id)
    assert "[12]" in httpx.get(f"{api}/call/double/{event_id}", timeout=60).text
    assert not gradio_private.is_known(page, "nobody") and not gradio_private.is_known(page, None)


def test_a_lost_session_is_told_as_gradio_tells_it():
    event = gradio_private.session_not_found()
    assert event.startswith("data: ") and event.endswith("\n\n")
    message = json.loads(event.removeprefix("data: "))
    assert message["msg"] == "unexpected_error" and message["session_not_found"] is True


def test_a_connection_is_idle_until_its_request_has_come_and_once_it_is_answered(page, served):
    assert gradio_private.idle_connections(gr.Blocks(analytics_enabled=False)) == []
    where = urlsplit(served)
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:

        def last_requests() -> list[object]:
            return [
                request
                for transport, request in gradio_private.idle_connections(page)
                if transport.get_extra_info("peername") == connection.getsockname()
            ]

        until(lambda: last_requests() == [None])
        connection.sendall(b"GET /config HTTP/1.1\r\nHost: here")
        time.sleep(0.1)
        assert last_requests() == [None]
        connection.sendall(b"\r\n\r\n")
        assert connection.recv(10).startswith(b"HTTP/1.1 ")
        until(lambda: last_requests() and last_requests() != [None])
        # A request that is being answered: this one goes on for as long as the page is shown.
        heartbeat = f"GET {gradio_private.HEARTBEAT}me HTTP/1.1\r\nHost: here\r\n\r\n"
        connection.sendall(heartbeat.encode())
        until(lambda: not last_requests())


def test_gradio_remembers_the_files_that_were_uploaded(page, served):
    files = {"files": ("a.png", b"x")}
    (path,) = httpx.post(f"{served}/gradio_api/upload", files=files).json()
    assert any(path in known for known in gradio_private.known_files(page))
    Path(path).unlink()


def test_a_page_is_an_mcp_server_where_it_was_asked_to_be(page):
    assert not gradio_private.serves_mcp(page)
    _, address, _ = page.launch(
        mcp_server=True, prevent_thread_lock=True, quiet=True, inbrowser=False, ssr_mode=False
    )
    try:
        assert gradio_private.serves_mcp(page)
        assert httpx.get(f"{address.rstrip('/')}{gradio_private.MCP}/schema").status_code == 200
    finally:
        page.close()


def test_gradio_records_few_events(page):
    """What the environment variable of fastrcnn/ui/__init__.py asks for."""
    assert os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] == "100"
    assert page.queue()._queue.ANALYTICS_MAX_EVENTS == 100
