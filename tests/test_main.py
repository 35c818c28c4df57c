"""The command line, as a user types it but for the process."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from fastrcnn.__main__ import main
from fastrcnn.data import VOC_CLASSES
from fastrcnn.detector import Detector
from fastrcnn.model import Resize, load_checkpoint
from fastrcnn.proposals import selective_search

COMMANDS = (
    *("detect", "proposals", "train", "evaluate", "failures", "compress", "recall"),
    *("export", "bench", "shapes"),
)
# Small enough for a step of VGG16 to take a fraction of a second.
SMALL = (
    *("--set", "shorter=32", "--set", "longer=64", "--set", "fc6=8", "--set", "fc7=8"),
    *("--set", "fc6_rank=4"),
    *("--set", "images_per_batch=2", "--set", "rois_per_batch=16", "--set", "flip=false"),
    *("--set", "proposals_mode=single", "--set", "first_trainable=fc6"),
)


@pytest.fixture(autouse=True)
def _tiny_by_default(monkeypatch, tiny_checkpoint, tmp_path):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a picture")
    return path


def one_sentence(text: str) -> bool:
    lines = text.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and lines[0][-1] in ".?"


def test_json_to_standard_output_is_all_there_is_and_is_what_the_detector_finds(photo, capsys):
    assert main(["detect", str(photo), "--json", "-"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    expected = Detector.from_checkpoint()(photo)
    assert len(expected) > 0
    assert record["detections"] == expected.to_list()
    assert (record["image"], record["width"], record["height"]) == (str(photo), 160, 120)
    assert set(record["seconds"]) == {"read", "segments", "proposals", "features", "head", "nms"}
    assert all(seconds > 0 for seconds in record["seconds"].values())


def test_without_json_the_detections_are_listed_for_a_person(photo, capsys):
    assert main(["detect", str(photo)]) == 0
    best = Detector.from_checkpoint()(photo)
    listed = capsys.readouterr().out
    assert f"{photo}: {len(best)} found" in listed
    assert best.names[0] in listed


def test_detect_obeys_score_nms_vote_and_proposals(photo, capsys):
    settings = {"score": 0.01, "nms": 0.9, "vote": None, "proposals": 5}
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    assert main(["detect", str(photo), "--json", "-", *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["detections"] == Detector.from_checkpoint()(photo, **settings).to_list()
    assert record["detections"] != Detector.from_checkpoint()(photo).to_list()


def test_retry_gives_the_one_best_box_where_none_scores_enough(photo, capsys):
    assert main(["detect", str(photo), "--score", "1", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["detections"] == []
    assert main(["detect", str(photo), "--score", "1", "--retry", "0.1", "--json", "-"]) == 0
    best = Detector.from_checkpoint()(photo).first(1)
    assert json.loads(capsys.readouterr().out)[0]["detections"] == best.to_list()


def test_a_bad_file_is_reported_and_the_others_are_done(photo, broken, tmp_path, capsys):
    target = tmp_path / "found.json"
    photos = [str(broken), str(photo), str(tmp_path / "missing.png")]
    assert main(["detect", *photos, "--json", str(target)]) == 1
    assert [record["image"] for record in json.loads(target.read_text())] == [str(photo)]
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert str(broken) in errors[0]
    assert "missing.png" in errors[1]


def test_save_draws_every_photo_even_those_of_the_same_name(photo, tmp_path):
    (tmp_path / "other").mkdir()
    copy = shutil.copy(photo, tmp_path / "other" / photo.name)
    folder = tmp_path / "new" / "drawn"
    assert main(["detect", str(photo), str(copy), "--save", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["shapes-2.png", "shapes.png"]
    original = np.asarray(Image.open(photo))
    drawn = np.asarray(Image.open(folder / "shapes.png"))
    assert drawn.shape == original.shape
    assert (drawn != original).any()


def test_proposals_are_those_of_selective_search(photo, tmp_path, capsys):
    drawn = tmp_path / "drawn.png"
    command = ["proposals", str(photo), "--mode", "single", "--seed", "3", "--json", "-"]
    assert main([*command, "--save", str(drawn)]) == 0
    record = json.loads(capsys.readouterr().out)
    boxes = selective_search(np.asarray(Image.open(photo)), "single", seed=3).boxes
    assert np.array_equal(np.array(record.pop("boxes"), np.float32), boxes)
    assert record == {"image": str(photo), "width": 160, "height": 120}
    assert Image.open(drawn).size == (160, 120)


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
    assert main(["detect", picture, "--score", "0.01", "--json", saved]) == 0
    capsys.readouterr()
    command = ["evaluate", "--data", str(voc), "--limit", "1", "--detections", saved]
    assert main([*command, "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ap"] == pytest.approx(direct["ap"], abs=1e-3)
    assert main(command) == 0
    assert "mAP over 1 pictures" in capsys.readouterr().out


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


def test_compress_writes_a_smaller_detector_that_still_detects(photo, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    command = ["compress", "--fc6-rank", "4", "--fc7-rank", "2", "--out", str(out)]
    assert main(command) == 0
    model, metadata = load_checkpoint(out)
    assert (model.config.fc6_rank, model.config.fc7_rank) == (4, 2)
    assert metadata["data"] == "none"
    assert main(["detect", str(photo), "--checkpoint", str(out)]) == 0
    capsys.readouterr()
    assert main(["compress", "--fc6-rank", "99", "--fc7-rank", "2", "--out", str(out)]) == 1
    assert one_sentence(capsys.readouterr().err)
    assert main(["compress", "--shorter", "90", "--out", str(out)]) == 0
    assert load_checkpoint(out)[0].config.resize == Resize(shorter=90, longer=150)
    assert main(["compress", "--shorter", "9", "--out", str(out)]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_export_writes_the_network_that_detect_uses(tmp_path, capsys):
    out = tmp_path / "new" / "network.onnx"
    assert main(["export", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert re.fullmatch(
        r".*network\.onnx: \d+ MB; takes picture and boxes, gives probabilities, .*\n", told
    )
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == [*VOC_CLASSES]


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
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("epoch 1: training") == 1
    assert load_checkpoint(out / "model.safetensors")[0].config.fc6 == 8


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["train", "--recipe", "papre", "--data", "{voc}", "--out", "{tmp}"], "paper"),
        (
            ["train", "--recipe", "paper", "--data", "{voc}", "--out", "{tmp}", "--set", "lrr=1"],
            "lr",
        ),
        (["evaluate", "--data", "{tmp}"], "{tmp}"),
        (["evaluate", "--data", "{voc}", "--split", "nosuch"], "nosuch"),
        (["detect", "{photo}", "--checkpoint", "{photo}"], "{photo}"),
        (["detect", "{photo}", "--checkpoint", "nosuch.safetensors"], "nosuch.safetensors"),
        (["detect", "{photo}", "--json", "nosuch/found.json"], "nosuch/found.json"),
        (["detect", "{photo}", "--save", "{photo}"], "{photo}"),
        (["proposals", "nosuch.jpg"], "nosuch.jpg"),
        (["shapes", "--out", "{photo}"], "{photo}"),
        (["proposals", "{photo}", "--save", "{tmp}/drawn.nosuch"], "drawn.nosuch"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(command, says, voc, photo, tmp_path, capsys):
    places = {"voc": voc, "photo": photo, "tmp": tmp_path}
    assert main([word.format(**places) for word in command]) == 1
    captured = capsys.readouterr()
    assert one_sentence(captured.err), captured.err
    assert says.format(**places) in captured.err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["nosuch"],
        ["detect"],
        ["detect", "a.jpg", "--score", "1.5"],
        ["detect", "a.jpg", "--score", "nan"],
        ["detect", "a.jpg", "--score", "half"],
        ["detect", "a.jpg", "--proposals", "0"],
        ["proposals", "a.jpg", "--mode", "slow"],
        ["proposals", "a.jpg", "--seed", "-1"],
        ["shapes"],
        ["shapes", "--out", "set", "--train", "0"],
    ],
)
def test_a_wrong_command_line_exits_with_2(command):
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: python -m fastrcnn {command}" in printed
    # Every option has its sentence.
    options = [line for line in printed.splitlines() if line.startswith("  --")]
    assert options
    with pytest.raises(SystemExit):
        main(["--help"])
    assert command in capsys.readouterr().out


def test_ctrl_c_ends_quietly(photo, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "trace", interrupt)
    assert main(["detect", str(photo)]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_failures_are_counted_by_kind(voc, capsys):
    command = ["failures", "--data", str(voc), "--worst", "2", "--score", "0.001"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert re.search(r"localisation +similar +other +background", told)
    assert re.search(r"Selective search misses \d of 2 objects; \d of them are smaller", told)
    assert main([*command, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [line.split() for line in told.splitlines() if line.startswith("all ")]
    counted = [
        sum(item["kind"] == kind for item in found["false_positives"])
        for kind in ("localisation", "similar", "other", "background")
    ]
    assert counted == [int(value) for value in rows[0][1:]] and sum(counted) > 0
