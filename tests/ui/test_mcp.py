"""The page as an MCP server, asked as an assistant asks it."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool

from fastrcnn.errors import MissingPackageError
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
    async def asked(name: str, values: dict) -> CallToolResult:
        async with (
            streamable_http_client(address) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.call_tool(name, values)

    return lambda name, **values: asyncio.run(asked(name, values))


@pytest.fixture(scope="module")
def picture(photo) -> str:
    return f"data:image/png;base64,{base64.b64encode(photo.read_bytes()).decode()}"


def test_the_tools_are_the_endpoints_and_nothing_else(tools):
    assert tools.keys() == {"detect", "proposals", "pool"}
    assert {name: list(tool.inputSchema["properties"]) for name, tool in tools.items()} == {
        "detect": ["image", "score", "nms"],
        "proposals": ["image", "mode"],
        "pool": ["image", "box", "channel", "form"],
    }
    required = {name: tool.inputSchema["required"] for name, tool in tools.items()}
    assert required == {"detect": ["image"], "proposals": ["image"], "pool": ["image", "box"]}


def test_each_tool_and_each_of_its_arguments_is_described_and_typed(tools):
    for tool in tools.values():
        assert ". " in tool.description and "Returns: " in tool.description
        for name, argument in tool.inputSchema["properties"].items():
            assert argument["description"].endswith("."), name
            assert "type" in argument or name == "box"  # JSON of any kind, for Gradio
    mode = tools["proposals"].inputSchema["properties"]["mode"]
    assert set(mode["enum"]) == {"single", "fast", "quality"}


def test_detect_gives_the_detectors_detections_and_a_picture(ask, detector, photo, picture):
    answer = ask("detect", image=picture, score=0.05)
    assert not answer.isError
    found = json.loads(answer.content[0].text)
    assert found["detections"] == detector(photo, score=0.05).to_list()
    assert any(item.type == "image" for item in answer.content)


def test_proposals_are_those_of_selective_search(ask, photo, picture):
    answer = ask("proposals", image=picture, mode="single")
    boxes = selective_search(load_image(photo), "single").boxes
    assert json.loads(answer.content[0].text)["boxes"] == np.round(boxes.astype(float), 2).tolist()


def test_what_cannot_be_used_is_refused_in_one_sentence(ask, picture):
    answer = ask("detect", image=picture, score=7)
    assert answer.isError
    assert answer.content[0].text == "score must be a number from 0 to 1."


def test_without_its_package_the_server_is_refused_in_one_sentence(detector, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingPackageError, match=r'^The MCP server needs .*"gradio\[mcp\]"\.$'):
        launch(None, mcp=True)
