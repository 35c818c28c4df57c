"""`proposals`."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from fastrcnn.cli import main
from fastrcnn.proposals import selective_search


def test_proposals_are_those_of_selective_search(photo, tmp_path, capsys):
    drawn = tmp_path / "drawn.png"
    command = ["proposals", str(photo), "--mode", "single", "--seed", "3", "--json", "-"]
    assert main([*command, "--save", str(drawn)]) == 0
    record = json.loads(capsys.readouterr().out)
    boxes = selective_search(np.asarray(Image.open(photo)), "single", seed=3).boxes
    assert np.array_equal(np.array(record.pop("boxes"), np.float32), boxes)
    assert record == {"image": str(photo), "width": 160, "height": 120}
    assert Image.open(drawn).size == (160, 120)
