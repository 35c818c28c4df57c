"""`python app.py`, as a user starts it."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

APP = Path(__file__).parents[1] / "app.py"


def test_the_app_serves_its_page(tiny_checkpoint, tmp_path):
    environment = {"FASTRCNN_CHECKPOINT": str(tiny_checkpoint), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, str(APP)],
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
            if found := re.search(r"http://\S+", line):
                break
        assert found, said
        with urlopen(found[0]) as answer:
            assert "Fast R-CNN" in answer.read().decode()
    finally:
        process.kill()
        process.communicate()


def test_without_its_weights_the_app_says_so_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tmp_path / "nosuch.safetensors"))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    with pytest.raises(SystemExit, match=r"^error: There is no checkpoint .*\.$"):
        runpy.run_path(str(APP), run_name="__main__")
