"""`train` and `shapes`, from pictures to a trained detector."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from fastrcnn import Detector
from fastrcnn.cli import main
from fastrcnn.model import load_checkpoint
from tests.cli.conftest import one_sentence
from tests.conftest import draw_shapes

pytestmark = pytest.mark.system

# Small enough for a step of VGG16 to take a fraction of a second.
SMALL = (
    *("--set", "shorter=32", "--set", "longer=64", "--set", "fc6=8", "--set", "fc7=8"),
    *("--set", "fc6_rank=4"),
    *("--set", "images_per_batch=2", "--set", "rois_per_batch=16", "--set", "flip=false"),
    *("--set", "proposals_mode=single", "--set", "first_trainable=fc6"),
)
BOXES = ("bbox_pred.weight", "bbox_pred.bias", "bbox_mean", "bbox_std")


def test_train_then_go_on_from_what_it_wrote(voc, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "--recipe", "laptop", "--data", str(voc), "--out", str(out), *SMALL]
    assert main([*command, "--set", "epochs=2", "--val-limit", "1"]) == 0
    model, metadata = load_checkpoint(out / "model.safetensors")
    assert model.config.fc6 == 8
    assert metadata["recipe"]["rois_per_batch"] == 16
    assert {"metrics.jsonl", "loss.png"} <= {path.name for path in out.iterdir()}
    told = capsys.readouterr().err
    assert re.search(r"epoch 2: training \d\.\d+ \(class .*\); validation \d\.\d+", told)
    assert "model.safetensors" in told

    # The result starts another run, and a finished run has nothing left to do.
    start = ["--init", str(out / "model.safetensors"), "--set", "epochs=1"]
    other = tmp_path / "other"
    assert main([*command[:6], str(other), *SMALL, *start]) == 0
    lines = (other / "metrics.jsonl").read_text()
    assert main([*command[:6], str(other), *SMALL, *start, "--resume"]) == 0
    assert (other / "metrics.jsonl").read_text() == lines
    # Another shape cannot start this one.
    capsys.readouterr()
    assert main([*command[:6], str(tmp_path / "x"), *SMALL, *start, "--set", "fc6=9"]) == 1
    assert "fc6" in capsys.readouterr().err


def test_without_matplotlib_nothing_is_trained(voc, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert main(["train", "--recipe", "laptop", "--data", str(voc), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "error: Training needs matplotlib; install it with: pip install matplotlib.\n"
    )


def test_what_ships_is_made_by_one_command_from_two_data_sets(voc, tmp_path):
    """The recipe voc, cut short; the second set has no split for validation."""
    second = tmp_path / "second"
    shutil.copytree(voc, second)
    (second / "ImageSets/Main/val.txt").unlink()
    command = ["train", "--recipe", "voc", "--data", str(voc), "--data", str(second)]
    command += ["--out", str(tmp_path / "run"), *SMALL[:8], "--device", "cpu"]
    settings = (
        *("proposals_mode=single", "iterations=3", "images_per_batch=2", "rois_per_batch=16"),
        *("foreground_candidates=4", "background_candidates=12", "scales=32,40", "svd_rank=4"),
    )
    for setting in settings:
        command += ["--set", setting]
    assert main(command) == 0
    path = tmp_path / "run" / "model.safetensors"
    model, metadata = load_checkpoint(path)
    assert (model.config.fc6_rank, metadata["data"]["train_pictures"]) == (4, 4)
    assert metadata["data"]["val_pictures"] == 2
    with safe_open(path, framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
    assert Detector.from_checkpoint(path).trace(draw_shapes()).proposals


def test_stage_wise_training_learns_boxes_alone_after_the_classes(voc, tmp_path):
    """Both stages of CaffeNet, whose ImageNet weights the second does not need again."""
    common = ["--data", str(voc), *SMALL[:8], "--set", "backbone=caffenet", "--set", "iterations=2"]
    common += ["--set", "proposals_mode=single", "--set", "lr=0.01", "--val-limit", "1"]
    first, second = tmp_path / "classes", tmp_path / "stage_wise"
    command = ["train", "--recipe", "classification_only", "--out", str(first), *common]
    command += ["--set", "first_trainable=conv2", "--backbone-weights"]
    assert main([*command, str(tmp_path / "none")]) == 1
    assert main([*command, "random"]) == 0
    start = ["--init", str(first / "model.safetensors")]
    assert main(["train", "--recipe", "stage_wise", "--out", str(second), *common, *start]) == 0
    before, after = (load_checkpoint(run / "model.safetensors")[0] for run in (first, second))
    assert (before.config.bbox_reg, after.config.bbox_reg) == (False, True)
    changed = {
        name
        for name, tensor in after.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[name])
    }
    assert changed <= {f"head.{name}" for name in BOXES} and "head.bbox_pred.weight" in changed


def test_the_built_in_shapes_are_drawn_trained_on_and_measured(tmp_path, capsys, monkeypatch):
    # One process does for six pictures; starting two takes longer than the search.
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    data, out = tmp_path / "shapes", tmp_path / "run"
    counts = ["--train", "4", "--val", "2", "--test", "2"]
    assert main(["shapes", "--out", str(data), "--seed", "3", *counts]) == 0
    assert "4 for train, 2 for val, 2 for test" in capsys.readouterr().out
    command = ["train", "--recipe", "shapes", "--data", str(data), "--out", str(out)]
    assert main([*command, "--set", "iterations=3", "--set", "fc6=8", "--set", "fc7=8"]) == 0
    told = capsys.readouterr().err
    assert "validation" in told
    trained = ["--checkpoint", str(out / "model.safetensors")]
    assert main(["evaluate", "--data", str(data), "--split", "test", *trained]) == 0
    assert "mAP over 2 pictures" in capsys.readouterr().out
    assert main(["recall", "--data", str(data), "--split", "val", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["recall"] >= 0.95
    # The small backbone starts at random: there are no weights to give it.
    assert main([*command[:-1], str(tmp_path / "x"), "--backbone-weights", "vgg16"]) == 1
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.system
def test_torchrun_trains_with_the_same_command_and_speaks_once(voc, tmp_path):
    out = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["train", "--recipe", "laptop", "--data", str(voc), "--out", str(out), *SMALL]
    run = subprocess.run(
        [*torchrun, "--nproc-per-node=2", "-m", "fastrcnn", *command, "--set", "epochs=1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("epoch 1: training") == 1
    assert load_checkpoint(out / "model.safetensors")[0].config.fc6 == 8
