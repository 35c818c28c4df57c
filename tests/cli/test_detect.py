"""`detect`, as a user types it but for the process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastrcnn.cli import main
from fastrcnn.detector import Detector


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


def test_detect_obeys_score_nms_vote_and_max_proposals(photo, capsys):
    settings = {
        "score_threshold": 0.01,
        "nms_threshold": 0.9,
        "vote_threshold": None,
        "max_proposals": 5,
    }
    options = ["--score-threshold", "0.01", "--nms-threshold", "0.9", "--vote-threshold", "none"]
    options += ["--max-proposals", "5"]
    assert main(["detect", str(photo), "--json", "-", *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["detections"] == Detector.from_checkpoint()(photo, **settings).to_list()
    assert record["detections"] != Detector.from_checkpoint()(photo).to_list()


def test_retry_gives_the_one_best_box_where_none_scores_enough(photo, capsys):
    assert main(["detect", str(photo), "--score-threshold", "1", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["detections"] == []
    assert (
        main(["detect", str(photo), "--score-threshold", "1", "--retry", "0.1", "--json", "-"]) == 0
    )
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


def test_a_name_that_standard_output_cannot_encode_is_escaped(photo, tmp_path, monkeypatch):
    named = shutil.copy(photo, tmp_path / "고양이.png")
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["detect", str(named), str(photo)]) == 0
    listed = output.buffer.getvalue().decode()
    assert "\\uace0\\uc591\\uc774.png: " in listed and f"{photo}: " in listed


def test_where_the_answer_cannot_be_written_nothing_is_detected(
    photo, tmp_path, monkeypatch, capsys
):
    assert main(["detect", str(photo), "--json", str(tmp_path)]) == 1
    expected = f"error: {tmp_path} cannot be written: it is a folder.\n"
    assert capsys.readouterr() == ("", expected)
    # As for a user who may not write into this folder.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert main(["detect", str(photo), "--json", str(tmp_path / "found.json")]) == 1
    expected = f"error: {tmp_path / 'found.json'} cannot be written: permission denied.\n"
    assert capsys.readouterr() == ("", expected)
    assert main(["detect", str(photo), "--json", os.devnull]) == 0


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


def test_ctrl_c_ends_quietly(photo, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "stages", interrupt)
    assert main(["detect", str(photo)]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.system
def test_ctrl_c_in_a_terminal_leaves_nothing_running(photo):
    command = [sys.executable, "-m", "fastrcnn", "detect", *[str(photo)] * 1000]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it runs in the background with this signal ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert "found in" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and errors.strip() == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
