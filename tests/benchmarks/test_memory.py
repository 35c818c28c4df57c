"""Memory and start of fresh processes."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from fastrcnn.benchmarks import memory
from fastrcnn.cli import main
from fastrcnn.errors import FastRCNNError

pytestmark = pytest.mark.system


def test_memory_is_measured_in_fresh_processes(tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    found = memory.measure_memory((1, 2))
    assert list(found.peak) == ["800 x 600", "4000 x 3000"] and list(found.after) == [1, 2]
    usual, large = found.peak.values()
    # More of it stays after the large picture has been made small than the small one ever was.
    assert usual > 100 and large > usual + 10
    assert all(100 < taken < found.most for taken in found.after.values())


def test_where_the_system_does_not_report_memory_it_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "status")
    with pytest.raises(FastRCNNError, match="Linux"):
        memory.measure_memory()


def test_the_start_is_measured(tiny_checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    assert main(["bench", "start", "--turns", "1", "--json", "-"]) == 0
    start = json.loads(capsys.readouterr().out)["start"]
    assert 0 < start["imported"] < start["first_page"]


def test_a_page_that_does_not_come_is_one_sentence(monkeypatch):
    monkeypatch.setattr(memory, "_seconds_to_import", lambda: 0.0)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))  # it ends before it has answered
    with pytest.raises(FastRCNNError, match="did not answer"):
        memory.measure_start(1)
