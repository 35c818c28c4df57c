"""`export`."""

from __future__ import annotations

import json
import re

import onnxruntime

from fastrcnn.cli import main
from fastrcnn.data import VOC_CLASSES


def test_export_writes_the_network_that_detect_uses(tmp_path, capsys):
    out = tmp_path / "new" / "network.onnx"
    assert main(["export", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r".*network\.onnx: \d+ MB; takes picture and boxes, gives probabilities, .*\n", printed
    )
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == [*VOC_CLASSES]
