"""`python app.py`, as a user starts it."""

from __future__ import annotations

import json
import re
import runpy
import sys
import time
from urllib.request import urlopen

import pytest

from tests.server import APP, Server
from tests.visitor import Visitor

pytestmark = pytest.mark.system


def test_the_app_serves_its_page_and_its_tools(tiny_checkpoint, tmp_path):
    server = Server(tmp_path, FASTRCNN_CHECKPOINT=str(tiny_checkpoint), FASTRCNN_UPLOAD_MB="3.5")
    try:
        with urlopen(server.address) as answer:
            page = answer.read().decode()
        assert "Fast R-CNN" in page
        assert f'"max_file_size":{3.5 * 2**20:.0f},' in page  # which the browser heeds
        with urlopen(f"{server.address}/gradio_api/mcp/schema") as answer:
            assert {tool["name"] for tool in json.load(answer)} == {"detect", "proposals", "pool"}
    finally:
        server.close()


def test_ctrl_c_ends_it_in_order_while_somebody_trains(tiny_checkpoint, tmp_path):
    server = Server(tmp_path, FASTRCNN_CHECKPOINT=str(tiny_checkpoint))
    with Visitor(server.address) as visitor:
        started = {"pictures": 8, "folder": "", "paused": False, "recipe": "shapes", "values": {}}
        token = visitor.train(**started)["token"]
        while visitor.ask("train", "progress", token=token, steps=0)["phase"] != "training":
            time.sleep(0.1)
        assert server.interrupt() == 0
    assert "Traceback" not in server.output and "terminate" not in server.output
    assert not list(tmp_path.rglob("run-*"))


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("FASTRCNN_CHECKPOINT", "nosuch.safetensors", r"There is no checkpoint file nosuch\S+"),
        ("FASTRCNN_QUEUE", "many", r"FASTRCNN_QUEUE is 'many'; it must .*"),
    ],
)
def test_what_the_app_cannot_use_is_told_in_one_sentence(
    variable, value, sentence, monkeypatch, capsys
):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit, match=r"^1$"):
        runpy.run_path(str(APP), run_name="__main__")
    assert re.fullmatch(rf"error: {sentence}\.\n", capsys.readouterr().err)
