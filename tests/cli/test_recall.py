"""`recall`."""

from __future__ import annotations

import json

from fastrcnn.cli import main


def test_recall_prints_ours_beside_opencvs(voc, capsys):
    assert main(["recall", "--data", str(voc), "--limit", "1"]) == 0
    printed = capsys.readouterr().out
    assert "fastrcnn, fast" in printed
    assert "OpenCV, fast" in printed
    assert main(["recall", "--data", str(voc), "--limit", "1", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    # One plain rectangle: whoever misses it has its boxes wrong.
    assert [row["recall"] for row in rows] == [1.0, 1.0]
    assert all(row["mean_best_overlap"] > 0.9 for row in rows)
