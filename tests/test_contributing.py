"""CONTRIBUTING.md's three additions, run as they stand there; each has less than 30 lines."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fastrcnn import data
from fastrcnn.cli import main
from fastrcnn.evaluation.recall import proposal_recall
from fastrcnn.images import load_image
from fastrcnn.model import load_checkpoint
from fastrcnn.model.backbone import BACKBONES

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def run(title: str) -> dict:
    """The Python below a heading, run; returns what it defined."""
    code = re.search(rf"^### \.\.\. {title}\n.*?^```python\n(.*?)^```$", TEXT, re.M | re.S)[1]
    assert len(code.splitlines()) < 30
    defined: dict = {"__name__": title}
    exec(compile(code, "CONTRIBUTING.md", "exec"), defined)
    return defined


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    return data.write_shapes(folder, train=6, val=1, test=1)


def test_a_backbone_learns_is_saved_and_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(BACKBONES, "resnet34", None)  # which takes it away again afterwards
    run("a backbone")
    model, metadata = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.config.backbone == "resnet34" and metadata["iterations"] == 2
    maps = model.backbone(model.backbone.preprocess(np.zeros((96, 160, 3), np.uint8)))
    assert maps.shape == (1, 256, 6, 10)
    for layer in model.backbone.layers:
        maps = model.backbone(torch.zeros(1, 3, 96, 160), stop=layer)
        assert 96 // maps.shape[2] == model.backbone.stride_after(layer)
    assert "mAP" in capsys.readouterr().out


def test_a_proposal_method_takes_the_place_of_selective_search(
    tiny_checkpoint, drawn, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    added = run("a proposal method")
    trace, windows = added["trace"], added["windows"]
    assert np.array_equal(trace.boxes, windows(trace.image)) and trace.proposals is None
    assert re.fullmatch(r"\d+ windows, \d+ detections\n", capsys.readouterr().out)
    stages = [stage.name for stage in added["detector"].stages("assets/horses.jpg")]
    assert stages == ["proposals", "features", "detections"]
    dataset = data.open_dataset(drawn, "train")
    found = [windows(load_image(annotation.path)) for annotation in dataset]
    assert 0 < proposal_recall(found, dataset).recall <= 1


def test_a_data_reader_is_one_for_every_command(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fastrcnn.data.READERS", readers := [*data.READERS])
    run("a data reader")
    same = data.open_dataset(drawn, "train")
    with (drawn / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "width", "height", "class", "x1", "y1", "x2", "y2"])
        for item in same:
            place = item.path.relative_to(drawn)
            for box, label in zip(item.boxes, item.labels, strict=True):
                name = same.classes[label - 1]
                table.writerow([place, item.width, item.height, name, *box.tolist()])
    read = data.open_dataset(drawn, "train")
    assert len(readers) == 3 and set(read.classes) <= set(same.classes)
    for mine, its in zip(read, same, strict=True):
        assert mine.path == its.path and np.array_equal(mine.boxes, its.boxes)
        assert names(read, mine) == names(same, its)
    assert data.open_dataset(drawn, "val").annotations  # no val.csv: what it was before
    command = ["recall", "--data", str(drawn), "--split", "train", "--mode", "single"]
    assert main(command) == 0 and "OpenCV" in capsys.readouterr().out


def names(dataset: data.Dataset, item: data.Annotation) -> list[str]:
    return [dataset.classes[label - 1] for label in item.labels]
