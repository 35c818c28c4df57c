"""`evaluate`."""

from __future__ import annotations

import json
import shutil

import pytest

from fastrcnn.cli import main
from tests.cli.conftest import one_sentence


def test_saved_detections_score_as_the_model_that_made_them(voc, tmp_path, capsys):
    assert main(["evaluate", "--data", str(voc), "--limit", "1", "--json", "-"]) == 0
    direct = json.loads(capsys.readouterr().out)
    assert direct["images"] == 1
    assert set(direct) == {
        *("images", "map_area", "map_11point", "map_coco", "ap", "seconds_per_image")
    }
    assert direct["seconds_per_image"] > 0

    saved = str(tmp_path / "saved.json")
    picture = str(voc / "JPEGImages" / "000001.jpg")
    assert main(["detect", picture, "--score-threshold", "0.01", "--json", saved]) == 0
    capsys.readouterr()
    command = ["evaluate", "--data", str(voc), "--limit", "1", "--detections", saved]
    assert main([*command, "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ap"] == pytest.approx(direct["ap"], abs=1e-3)
    assert main(command) == 0
    assert "mAP over 1 pictures" in capsys.readouterr().out


def test_flips_and_a_pyramid_change_the_scores(voc, tmp_path, capsys):
    found = []
    for more in ((), ("--flip",), ("--pyramid", "48,96,144"), ("--flip", "--pyramid", "48,96")):
        saved = tmp_path / "found.json"
        command = ["evaluate", "--data", str(voc), "--limit", "1", "--coco", str(saved), *more]
        assert main([*command, "--score-threshold", "0.1"]) == 0
        found.append([result["score"] for result in json.loads(saved.read_text())])
    assert len(set(map(tuple, found))) == 4 and all(found)
    capsys.readouterr()
    assert main(["evaluate", "--data", str(voc), "--pyramid", "large"]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_several_data_sets_are_taken_together(voc, tmp_path, capsys):
    twice = ["--data", str(voc), "--data", str(voc)]
    assert main(["evaluate", *twice, "--limit", "3", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3
    other = tmp_path / "other"
    shutil.copytree(voc, other)
    (other / "classes.txt").write_text("cat\ndog\n")
    assert main(["evaluate", "--data", str(voc), "--data", str(other)]) == 1
    assert one_sentence(capsys.readouterr().err)
