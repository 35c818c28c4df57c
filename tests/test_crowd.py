"""A small crowd on the page, for a short while; the large one is `python -m tests.crowd`."""

from __future__ import annotations

import pytest

from tests.crowd.__main__ import crowd
from tests.server import Server

pytestmark = pytest.mark.system


def test_a_crowd_is_answered_each_by_its_own_and_leaves_nothing(tiny_checkpoint, tmp_path, capsys):
    server = Server(tmp_path, FASTRCNN_CHECKPOINT=str(tiny_checkpoint))
    try:
        assert crowd(server, visitors=4, seconds=15) == []
    finally:
        server.close()
    report = capsys.readouterr().out
    for kind in (
        *("upload to detections", "why this class", "R-CNN on two boxes"),
        *("a whole training", "upload to taught class"),
    ):
        assert kind in report
