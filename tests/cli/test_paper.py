"""`paper`: a table from nothing to its last line, and what it says before long work."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from fastrcnn.cli import main, paper
from fastrcnn.data import write_shapes
from fastrcnn.paper import estimate, tables
from tests.cli.conftest import one_sentence

pytestmark = pytest.mark.system

# Learns nothing, in no time.
TINY = [
    word
    for setting in (
        *("iterations=2", "fc6=16", "fc7=16", "shorter=64", "longer=96"),
        *("images_per_batch=1", "rois_per_batch=16"),
    )
    for word in ("--set", setting)
]


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch):
    monkeypatch.setattr(paper, "_QUICK_PICTURES", {"train": 2, "val": 1, "test": 2})


def test_a_quick_table_is_printed_and_written_and_is_the_same_again(tmp_path, capsys):
    out, answer = tmp_path / "out", tmp_path / "answer.json"
    command = ["paper", "8", "--quick", "--out", str(out), "--json", str(answer), *TINY]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "Table 8: SVMs and softmax" in captured.out and "2 pictures of" in captured.out
    assert "This takes about" in captured.err
    table = json.loads(answer.read_text())
    assert [row["name"] for row in table["rows"]] == ["SVMs", "softmax"]
    assert table["rows"][0]["published"] == pytest.approx(0.668)
    assert table["recipe"]["iterations"] == 2 and table["pictures"] == 2
    trained = [path.stat().st_mtime_ns for path in out.glob("*/*.safetensors")]
    assert len(trained) == 3  # the detector, the state of its run, the SVMs
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in out.glob("*/*.safetensors")] == trained
    assert json.loads(answer.read_text()) == table


def test_with_one_data_set_table_1_has_no_row_for_more(tmp_path, capsys):
    shapes = tmp_path / "shapes"
    write_shapes(shapes, 0, train=2, val=1, test=2)
    command = ["paper", "1", "--data", str(shapes), "--split", "train", "--recipe", "shapes"]
    assert main([*command, "--out", str(tmp_path / "out"), "--json", "-", *TINY]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows] == ["R-CNN", "SPPnet", "Fast R-CNN, 07"]


def test_figure_3_is_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tables, "_DENSE_ADDED", (50,))
    monkeypatch.setattr(tables, "_ALL_DENSE", 100)
    out = tmp_path / "out"
    assert main(["paper", "figure-3", "--quick", "--out", str(out), *TINY]) == 0
    printed = capsys.readouterr().out
    assert "dense boxes alone" in printed and "AR" in printed
    assert Image.open(out / "figure-3.png").size[0] >= 400


def test_figure_2_times_a_network_without_any_data(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["paper", "figure-2", "--quick", "--out", str(out), *TINY]
    assert main([*command, "--set", "max_proposals=40"]) == 0
    printed = capsys.readouterr().out
    for name in ("ours, whole", "ours, with SVD", "paper (L), whole", "paper (L), with SVD"):
        assert name in printed
    assert Image.open(out / "figure-2.png").size[0] >= 400


def test_ablations_compare_the_parts_of_a_given_detector(voc, tmp_path, capsys):
    command = ["paper", "ablations", "--data", str(voc), "--test-split", "val", "--limit", "1"]
    assert main([*command, "--out", str(tmp_path / "out"), "--json", "-"]) == 0
    table = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in table["rows"]]
    assert names[0] == "as it is" and "box voting: off" in names and "RoI pooling: align" in names
    assert table["rows"][0]["difference"] == table["rows"][0]["error"] == 0


def test_what_takes_long_is_told_and_not_started(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(estimate, "seconds_left", lambda *_: 50 * 3600.0)
    out = tmp_path / "out"
    assert main(["paper", "6", "--quick", "--out", str(out), *TINY]) == 1
    captured = capsys.readouterr()
    assert "about 50 hours here" in captured.err and "--yes" in captured.err
    assert captured.out == "" and not list(out.glob("*/model.safetensors"))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["9"], "figure-2"),
        (["6"], "--quick"),
        (["6", "--quick", "--recipe", "papre"], "paper_s"),
        (["6", "--quick", "--set", "lrr=1"], "lr"),
    ],
)
def test_what_cannot_be_is_one_sentence(command, message, tmp_path, capsys):
    assert main(["paper", *command, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert one_sentence(error) and message in error
