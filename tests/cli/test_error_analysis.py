"""`error-analysis`."""

from __future__ import annotations

import json
import re

from fastrcnn.cli import main


def test_failures_are_counted_by_kind(voc, capsys):
    command = ["error-analysis", "--data", str(voc), "--worst", "2", "--score-threshold", "0.001"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert re.search(r"localisation +similar +other +background", printed)
    assert re.search(r"Selective search misses \d of 2 objects; \d of them are smaller", printed)
    assert main([*command, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [line.split() for line in printed.splitlines() if line.startswith("all ")]
    counted = [
        sum(item["kind"] == kind for item in found["false_positives"])
        for kind in ("localisation", "similar", "other", "background")
    ]
    assert counted == [int(value) for value in rows[0][1:]] and sum(counted) > 0


def test_objects_are_missed_by_the_proposals_that_are_used(voc, capsys):
    missed = []
    for count in ("1", "2000"):
        command = ["error-analysis", "--data", str(voc), "--max-proposals", count, "--json", "-"]
        assert main(command) == 0
        missed.append(len(json.loads(capsys.readouterr().out)["missed"]))
    assert missed[0] > missed[1]
