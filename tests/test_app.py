"""`python app.py`, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.system

APP = Path(__file__).parents[1] / "app.py"


@pytest.mark.parametrize(
    ("options", "tools"), [([], None), (["--mcp"], {"detect", "proposals", "pool"})]
)
def test_the_app_serves_its_page_and_its_tools_only_where_asked_to(
    tiny_checkpoint, tmp_path, options, tools
):
    environment = {
        "FASTRCNN_CHECKPOINT": str(tiny_checkpoint),
        "FASTRCNN_UPLOAD_MB": "3.5",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(APP), *options],
        cwd=tmp_path,  # any folder will do
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://[^/\s]+", line):
                break
        assert found, said
        with urlopen(found[0]) as answer:
            said = answer.read().decode()
        assert "Fast R-CNN" in said
        assert f'"max_file_size":{3.5 * 2**20:.0f},' in said  # which the browser heeds
        if tools is None:
            with pytest.raises(HTTPError):
                urlopen(f"{found[0]}/gradio_api/mcp/schema")
        else:
            with urlopen(f"{found[0]}/gradio_api/mcp/schema") as answer:
                assert {tool["name"] for tool in json.load(answer)} == tools
    finally:
        process.kill()
        process.communicate()


def test_without_its_weights_the_app_says_so_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tmp_path / "nosuch.safetensors"))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit, match=r"^error: There is no checkpoint .*\.$"):
        runpy.run_path(str(APP), run_name="__main__")


def test_a_limit_that_cannot_be_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setenv("FASTRCNN_QUEUE", "many")
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit, match=r"^error: FASTRCNN_QUEUE is 'many'; it must .*\.$"):
        runpy.run_path(str(APP), run_name="__main__")
