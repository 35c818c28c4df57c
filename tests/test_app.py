"""`python app.py`, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.system

APP = Path(__file__).parents[1] / "app.py"


def test_the_app_serves_its_page_and_its_tools(tiny_checkpoint, tmp_path):
    environment = {
        "FASTRCNN_CHECKPOINT": str(tiny_checkpoint),
        "FASTRCNN_UPLOAD_MB": "3.5",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, str(APP)],
        cwd=tmp_path,  # any folder will do
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.search(r"http://[^/\s]+", line):
                break
        assert found, printed
        with urlopen(found[0]) as answer:
            printed = answer.read().decode()
        assert "Fast R-CNN" in printed
        assert f'"max_file_size":{3.5 * 2**20:.0f},' in printed  # which the browser heeds
        with urlopen(f"{found[0]}/gradio_api/mcp/schema") as answer:
            assert {tool["name"] for tool in json.load(answer)} == {"detect", "proposals", "pool"}
    finally:
        process.kill()
        process.communicate()


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
