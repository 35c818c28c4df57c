"""The page as an MCP server, asked as an assistant asks it."""

from __future__ import annotations

import asyncio
import base64
import re
from ast import literal_eval
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

from fastrcnn.images import load_image
from fastrcnn.proposals import selective_search
from fastrcnn.ui.page import build, launch

Ask = Callable[..., CallToolResult]


@pytest.fixture(scope="module")
def address(detector, tmp_path_factory) -> Iterator[str]:
    page = build(detector, tmp_path_factory.mktemp("examples"))
    _, url, _ = launch(page, mcp=True, prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield f"{url}gradio_api/mcp/"
    page.close()


@pytest.fixture(scope="module")
def tools(address) -> dict[str, Tool]:
    async def listed() -> list[Tool]:
        async with (
            streamable_http_client(address) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return (await session.list_tools()).tools

    return {tool.name: tool for tool in asyncio.run(listed())}


@pytest.fixture(scope="module")
def ask(address) -> Ask:
    async def ignore(*_) -> None:
        pass

    async def call_tool(name: str, values: dict, watching: bool) -> CallToolResult:
        async with (
            streamable_http_client(address) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            progress = ignore if watching else None
            return await session.call_tool(name, values, progress_callback=progress)

    return lambda name, watching=False, **values: asyncio.run(call_tool(name, values, watching))


@pytest.fixture(scope="module")
def picture(photo) -> str:
    return f"data:image/png;base64,{base64.b64encode(photo.read_bytes()).decode()}"


def test_the_tools_are_the_endpoints_and_nothing_else(tools):
    assert tools.keys() == {"detect", "proposals", "pool"}
    assert {name: list(tool.inputSchema["properties"]) for name, tool in tools.items()} == {
        "detect": ["image", "score_threshold", "nms_threshold"],
        "proposals": ["image", "mode"],
        "pool": ["image", "box", "channel", "pooling"],
    }
    required = {name: tool.inputSchema["required"] for name, tool in tools.items()}
    assert required == {"detect": ["image"], "proposals": ["image"], "pool": ["image", "box"]}


def test_each_tool_and_each_of_its_arguments_is_described_and_typed(tools):
    for tool in tools.values():
        assert ". " in tool.description and "Returns: " in tool.description
        for name, argument in tool.inputSchema["properties"].items():
            assert argument["description"].endswith("."), name
            assert isinstance(argument["type"], str), name
    mode = tools["proposals"].inputSchema["properties"]["mode"]
    assert set(mode["enum"]) == {"single", "fast", "quality"}


# Gradio writes an answer as Python does, not as JSON.


def test_detect_gives_the_detectors_detections_and_a_picture(ask, detector, photo, picture):
    answer = ask("detect", watching=True, image=picture, score_threshold=0.05)
    assert not answer.isError
    found = literal_eval(answer.content[0].text)
    assert found["detections"] == detector(photo, score_threshold=0.05).to_list()
    assert [item.type for item in answer.content] == ["text", "image", "text"]


def test_who_does_not_watch_the_progress_gets_the_picture_as_a_file(ask, detector, photo, picture):
    # Gradio 6.31 then writes both in one text.
    answer = ask("detect", image=picture)
    found, drawn = literal_eval(answer.content[0].text)
    assert found["detections"] == detector(photo).to_list()
    assert drawn["path"].endswith(".png")


def test_a_picture_that_was_uploaded_is_named_by_its_address(ask, detector, photo, address):
    page = address.removesuffix("gradio_api/mcp/")
    (path,) = httpx.post(f"{page}gradio_api/upload", files={"files": photo.open("rb")}).json()
    answer = ask("detect", watching=True, image=f"{page}gradio_api/file={path}")
    found = literal_eval(answer.content[0].text)
    assert found["image"] == photo.name
    assert found["detections"] == detector(photo).to_list()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("http://127.0.0.1:9/cat.jpg", r"Nothing is fetched from other hosts; .*\.$"),
        ("https://example.org/cat.jpg", r"Nothing is fetched from other hosts; .*\.$"),
        ("http://127.0.0.1:9/gradio_api/file=/etc/hostname", "No picture was given"),
        ("http://127.0.0.1:9/gradio_api/file=/dev/zero", "No picture was given"),
    ],
)
def test_nothing_else_is_fetched_or_read(ask, image, message):
    answer = ask("detect", watching=True, image=image)
    assert answer.isError and re.search(message, answer.content[0].text)


def test_proposals_are_those_of_selective_search(ask, photo, picture):
    answer = ask("proposals", image=picture, mode="single")
    boxes = selective_search(load_image(photo), "single").boxes
    expected = np.round(boxes.astype(float), 2).tolist()
    assert literal_eval(answer.content[0].text)["boxes"] == expected


def test_pool_takes_a_box_and_gives_seven_rows_of_seven(ask, picture):
    answer = ask("pool", image=picture, box=[10, 20, 90, 110], channel=17)
    assert np.shape(literal_eval(answer.content[0].text)) == (7, 7)


def test_what_cannot_be_used_is_refused_in_one_sentence(ask, picture):
    answer = ask("detect", image=picture, score_threshold=7)
    assert answer.isError
    assert answer.content[0].text == "score_threshold must be a number from 0 to 1."
