"""What the Train tab's browser may ask, without a browser."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from fastrcnn.data import open_dataset, read_coco, write_shapes
from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.model import load_checkpoint, save_checkpoint
from fastrcnn.training import RECIPES, SHAPES
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.train.form import KNOBS, RECIPE_NAMES, defaults, read_form
from fastrcnn.ui.train.pictures import _shapes
from fastrcnn.ui.train.runs import Runs
from fastrcnn.ui.train.server import _command, _Server, _start
from tests.ui.conftest import assert_is_json, assert_is_one_sentence

SMALL = {"iterations": "6", "rois_per_batch": "32"}
INPUTS = {"recipe": "shapes", "pictures": 4, "folder": "", "values": SMALL, "paused": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The cache of all runs here."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTRCNN_CACHE", str(folder))
        yield folder


@pytest.fixture
def runs(place):
    runs = Runs(Limits(session_mb=100))
    yield runs
    for session in ("me", "you"):
        runs.close(session)


def functions_of(runs: Runs) -> dict[str, Callable]:
    return {function.__name__: function for function in _Server(runs).functions()}


@pytest.fixture
def functions(runs) -> dict[str, Callable]:
    return functions_of(runs)


def wait_for(runs: Runs, token: str, *phases: str):
    run, deadline = runs.get(token), time.monotonic() + 300
    while run.phase not in phases:
        assert time.monotonic() < deadline, (run.phase, run.trouble)
        time.sleep(0.02)
    return run


def result_of(preparation: Generator) -> tuple:
    while True:
        try:
            next(preparation)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def finished(place):
    """A run that is done, which no test changes, and a way to ask about it."""
    runs = Runs(Limits(session_mb=100))
    functions = functions_of(runs)
    token = _start(runs, "me", INPUTS, local=True)["token"]
    run = wait_for(runs, token, "finished")

    def ask(name: str, **inputs) -> dict:
        reply = json.loads(json.dumps(functions[name]({"token": token} | inputs), allow_nan=False))
        assert "error" not in reply, reply
        return reply

    yield run, ask
    runs.close("me")


def test_progress_gives_what_is_new(finished):
    run, ask = finished
    whole = ask("progress")
    assert whole["phase"] == "finished" and whole["iterations"] == 6 and whole["scenes"] == 6
    assert whole["steps"] == [list(step) for step in run.curves.steps]
    later = ask("progress", steps=4, validations=len(run.curves.validations), evaluations=0)
    assert later["steps"] == whole["steps"][4:] and later["validations"] == []
    assert later["evaluations"] == run.curves.evaluations
    assert whole["precision_recall"] == run.curves.evaluations[-1]["iteration"]


def test_the_mini_batch_is_the_trainers(finished):
    run, ask = finished
    shown = ask("batch")
    assert shown["iteration"] == 6
    assert len(shown["pictures"]) == len(run.step.batch) == SHAPES.images_per_batch
    mean, std = run.target_scale()
    np.testing.assert_allclose(shown["mean"] + shown["std"], torch.cat([mean, std]), atol=6e-5)
    for picture, sample, outcome in zip(
        shown["pictures"], run.step.batch, run.step.outcomes, strict=True
    ):
        height, width = load_image(sample.path).shape[:2]
        assert (picture["width"], picture["height"]) == (width, height)
        assert picture["flipped"] == sample.flipped
        np.testing.assert_allclose(picture["boxes"], sample.boxes, atol=0.06)
        assert picture["labels"] == sample.labels.tolist()
        np.testing.assert_allclose(picture["overlaps"], sample.overlaps, atol=6e-4)
        np.testing.assert_allclose(picture["losses_cls"], outcome.losses_cls, atol=6e-5)
        np.testing.assert_allclose(picture["losses_loc"], outcome.losses_loc, atol=6e-5)
        for i, label in enumerate(sample.labels):
            rows = [picture[name][i] for name in ("deltas", "targets", "predicted")]
            if label == 0:
                assert rows == [None, None, None]
            else:
                expected = [sample.deltas[i], outcome.targets[i], outcome.predicted[i]]
                np.testing.assert_allclose(rows, expected, atol=6e-5)
                normalised = (torch.from_numpy(sample.deltas[i]) - mean) / std
                np.testing.assert_allclose(rows[1], normalised, atol=6e-4)
    counts = [sum(label > 0 for p in shown["pictures"] for label in p["labels"])]
    assert counts == [shown["foreground"]]


def test_the_held_out_pictures_come_once_with_their_true_objects(finished, place):
    _, ask = finished
    lean, whole = ask("scenes"), ask("scenes", pictures=True)
    assert "pictures" not in lean and lean["found"] == whole["found"]
    val = read_coco(place / "page" / "shapes-4" / "val.json")
    assert len(whole["pictures"]) == len(val) == 1
    (picture,) = whole["pictures"]
    names = [val.classes[label - 1] for label in val[0].labels]
    assert [item["label"] for item in picture["objects"]] == names
    np.testing.assert_allclose([i["box"] for i in picture["objects"]], val[0].boxes, atol=0.01)


def test_a_followed_box_tells_its_scores_and_corners_from_the_start(finished):
    run, ask = finished
    (picture,) = ask("scenes", pictures=True)["pictures"]
    (followed,) = run.held_out.followed
    assert picture["followed"]["labels"] == followed.labels.tolist()
    annotation = run.held_out.pictures[0]
    trace = Detector(run.detector().model).trace(
        load_image(annotation.path), boxes=run.held_out._proposals.get(annotation)
    )
    for box, (rank, label) in enumerate(zip(followed.indices, followed.labels, strict=True)):
        history = ask("history", scene=0, box=box)
        assert history["iterations"][0] == 0 and history["iterations"][-1] == 6
        # The last look is at the averaged weights, which the detector has too.
        np.testing.assert_allclose(
            history["probabilities"][-1], trace.probabilities[rank], atol=6e-5
        )
        own = history["corner_labels"][-1]
        assert own == label or label == 0
        np.testing.assert_allclose(history["corners"][-1], trace.regressed[rank, own], atol=0.06)


def test_the_area_under_the_curve_of_a_class_is_its_average_precision(finished):
    run, ask = finished
    measured, evaluation = ask("precision_recall"), run.curves.evaluations[-1]
    assert measured["iteration"] == evaluation["iteration"]
    known = {name: ap for name, ap in evaluation["ap"].items() if ap is not None}
    assert measured["curves"].keys() == known.keys()
    for name, curve in measured["curves"].items():
        area = np.sum(np.diff(curve["recall"], prepend=0) * curve["best"])
        assert area == pytest.approx(known[name], abs=1e-3)
        assert all(best >= own for best, own in zip(curve["best"], curve["precision"], strict=True))


def test_the_curves_and_the_checkpoint_can_be_taken_away(finished, tmp_path):
    run, ask = finished
    assert ask("takeaway", kind="jsonl")["text"] == run.metrics().read_text()
    png = base64.b64decode(ask("takeaway", kind="png")["src"].split(",", 1)[1])
    assert load_image(png).shape[1] == 1200
    taken = ask("takeaway", kind="checkpoint")
    path = tmp_path / taken["name"]
    path.write_bytes(base64.b64decode(taken["src"].split(",", 1)[1]))
    model, metadata = load_checkpoint(path)
    assert metadata["iterations"] == 6 and metadata["recipe"]["rois_per_batch"] == 32
    ours = run.detector().model.state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, ours[name], rtol=1e-3, atol=1e-4)
    with safe_open(path, "pt") as file:
        assert "fastrcnn" in file.metadata()


def test_a_network_too_large_for_the_page_says_so(finished, monkeypatch):
    run, ask = finished
    monkeypatch.setattr("fastrcnn.ui.shared.takeaways._LARGEST_CHECKPOINT", 1000)
    monkeypatch.setattr(run, "detector", lambda: pytest.fail("it was copied all the same"))
    with pytest.raises(AssertionError, match="go through the page"):
        ask("takeaway", kind="checkpoint")


def test_one_network_is_copied_at_a_time_however_many_ask(finished, monkeypatch):
    run, ask = finished
    copy, busy, most = run.detector, [], []

    def detector():
        busy.append(1)
        time.sleep(0.1)
        most.append(len(busy))
        return copy()

    def save(*inputs, **named):
        save_checkpoint(*inputs, **named)
        busy.pop()

    monkeypatch.setattr(run, "detector", detector)
    monkeypatch.setattr("fastrcnn.ui.shared.takeaways.save_checkpoint", save)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask("takeaway", kind="checkpoint"), range(4)))
    assert most == [1] * 4


def test_what_is_made_for_taking_away_lies_in_the_pages_own_folder(finished, monkeypatch):
    _, ask = finished
    places = []

    def save(path, *inputs, **named):
        places.append(path)
        save_checkpoint(path, *inputs, **named)

    monkeypatch.setattr("fastrcnn.ui.shared.takeaways.save_checkpoint", save)
    ask("takeaway", kind="checkpoint")
    (path,) = places
    assert path.is_relative_to(uploads.FOLDER) and not path.is_relative_to(uploads.FILES)
    assert not path.parent.exists()


@pytest.mark.parametrize("kind", ["png", "jsonl"])
def test_a_full_disk_or_a_folder_that_goes_is_one_sentence(finished, monkeypatch, kind):
    run, ask = finished

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastrcnn.ui.train.server.plot_losses", full)
    if kind == "jsonl":
        monkeypatch.setattr(run, "metrics", lambda: Path("/nowhere/metrics.jsonl"))
    sentence = r"'The server could not use its disk \([^/]*\); try again in a moment\.'"
    with pytest.raises(AssertionError, match=sentence):
        ask("takeaway", kind=kind)


def test_control_pauses_steps_goes_on_and_stops(runs, functions):
    token = _start(runs, "me", INPUTS | {"paused": True}, local=True)["token"]
    run = wait_for(runs, token, "paused")
    functions["control"]({"token": token, "action": "step"})
    while len(run.curves.steps) < 1:
        time.sleep(0.02)
    wait_for(runs, token, "paused")
    assert len(run.curves.steps) == 1
    functions["control"]({"token": token, "action": "stop"})
    wait_for(runs, token, "stopped")
    assert_is_one_sentence(functions["control"]({"token": token, "action": "dance"})["error"])


def test_too_early_is_one_sentence(runs, functions):
    token = _start(runs, "me", INPUTS | {"paused": True}, local=True)["token"]
    wait_for(runs, token, "paused")
    for name, inputs in (
        ("batch", {}),
        ("takeaway", {"kind": "png"}),
        ("takeaway", {"kind": "jsonl"}),
        ("history", {"scene": 1, "box": 0}),
        ("history", {"scene": 0, "box": 1000}),
        ("precision_recall", {}),
    ):
        assert_is_one_sentence(functions[name]({"token": token} | inputs)["error"])


@pytest.mark.parametrize(
    "name",
    ["progress", "batch", "scenes", "history", "precision_recall", "control", "takeaway"],
)
@pytest.mark.parametrize("inputs", [None, [], {}, {"token": "nosuch"}, {"token": 3}])
def test_who_has_no_run_is_told_so(functions, name, inputs):
    assert_is_one_sentence(functions[name](inputs)["error"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recipe": "cake"}, "no recipe"),
        ({"recipe": None}, "no recipe"),
        ({"values": None}, "settings"),
        ({"values": {"checkpoint_minutes": "1"}}, "settings"),
        ({"values": {"lr": 3}}, "settings"),
        ({"values": {"lr": "fast"}}, "lr=fast"),
        ({"values": {"lr": "-1"}}, "lr is -1"),
        ({"values": {"lr": "nan"}}, "lr is nan"),
        ({"values": {"rois_per_batch": "33"}}, "multiple"),
        ({"values": {"first_trainable": "conv9"}}, "no layer"),
        ({"values": {"bg_iou_low": "0.9"}}, "bg_iou_high"),
        ({"values": {"images_per_batch": "17", "rois_per_batch": "34"}}, "is 17; .* at most 16"),
        ({"values": {"rois_per_batch": "2050"}}, "is 2050; .* at most 2048"),
        ({"recipe": "paper", "values": {"seed": "1"}}, "takes 1,539 MB .* may hold 100 MB"),
        ({"pictures": 0}, "at least one picture"),
        ({"pictures": -1}, "pictures must be"),
        ({"pictures": "many"}, "pictures must be"),
        ({"folder": "/nosuch/folder"}, "no data set"),
    ],
)
def test_settings_that_cannot_work_are_told_in_one_sentence(runs, wrong, message):
    with pytest.raises(FastRCNNError, match=message) as raised:
        token = _start(runs, "me", INPUTS | wrong, local=True)["token"]
        run = wait_for(runs, token, "failed", "finished")
        raise FastRCNNError(run.trouble or "it went through")
    assert_is_one_sentence(str(raised.value))


def test_numbers_of_pictures_share_folders_and_each_run_has_its_own_number(runs, place):
    for count, size, held_out in ((1, 1, 1), (3, 4, 1), (5, 8, 1), (8, 8, 2)):
        _start(runs, "me", INPUTS | {"pictures": count, "paused": True}, local=True)
        train, val = result_of(runs.get(runs._tokens["me"])._data())
        assert (len(train), len(val)) == (count, held_out)
        assert train[0].path.is_relative_to(place / "page" / f"shapes-{size}")
    # The pictures are those of a set that was written for this number alone.
    alone = write_shapes(place / "alone", train=3, val=1)
    train, val = result_of(_shapes(place / "page", 3))
    for ours, theirs in ((train, "train"), (val, "val")):
        for one, other in zip(ours, open_dataset(alone, theirs), strict=True):
            assert one.path.read_bytes() == other.path.read_bytes()
            assert (one.boxes == other.boxes).all() and (one.labels == other.labels).all()


@pytest.mark.parametrize(("most", "kept"), [(3, True), (1, False)])
def test_what_visitors_trainings_keep_on_disk_has_a_limit(place, most, kept):
    old = place / "page" / "features-0" / "old.npy"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(bytes(2 * 2**20))
    runs = Runs(Limits(cache_mb=most))
    token = _start(runs, "me", INPUTS, local=True)["token"]
    assert wait_for(runs, token, "finished", "failed").phase == "finished"
    runs.close("me")
    assert old.exists() == kept
    assert list((place / "page").glob("proposals-*/*.npy"))


def test_the_owners_own_cache_is_left_alone(place, voc):
    old = place / "features-0" / "old.npy"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(bytes(2 * 2**20))
    runs = Runs(Limits(cache_mb=1))
    for folder in ("", str(voc)):
        inputs = INPUTS | {"folder": folder, "pictures": 2}
        token = _start(runs, "me", inputs, local=True)["token"]
        assert wait_for(runs, token, "finished", "failed").phase == "finished"
    runs.close("me")
    assert old.exists()


def test_a_run_is_named_by_what_was_turned(runs):
    started = _start(runs, "me", INPUTS | {"paused": True}, local=True)
    assert (started["recipe"], started["pictures"], started["folder"]) == ("shapes", 4, None)
    assert started["changed"] == {"iterations": "6", "rois_per_batch": "32"}
    assert "shapes --out SHAPES --train 4" in started["command"]
    assert "--set iterations=6 --set rois_per_batch=32" in started["command"]
    usual = defaults(SHAPES)["values"]
    same = {"lr": f"{usual['lr']:g}", "bbox_reg": "true"}
    plain = _start(runs, "you", INPUTS | {"values": same, "paused": True}, local=True)
    assert (plain["changed"], plain["pictures"]) == ({}, 4)


@pytest.mark.parametrize(
    ("recipe", "data", "expected"),
    [
        ("shapes", "", ["shapes --out SHAPES --train 400 --val 100 && "]),
        ("walkthrough", "", ["--train 400 --val 100 && ", " --set validation_fraction=0 "]),
        ("shapes", "folder", [" --val-limit 100"]),
        ("walkthrough", "folder", []),
        ("shapes", "train.json", [" --set validation_fraction=0.2"]),
        ("walkthrough", "train.json", []),
    ],
)
def test_the_command_line_holds_out_the_same_pictures(tmp_path, recipe, data, expected):
    (tmp_path / "train.json").write_text("{}")
    folder = data and str(tmp_path / data)
    command = _command(read_form({"recipe": recipe, "values": {}}), 400, folder)
    assert all(part in command for part in expected)
    parts = ("--val ", "--val-limit ", "validation_fraction=")
    assert sum(command.count(part) for part in parts) == len(expected)


def test_a_folder_of_ones_own_works_here_and_not_on_a_space(runs, place, voc):
    folder = str(voc)
    inputs = INPUTS | {"folder": folder, "pictures": 2}
    with pytest.raises(FastRCNNError, match="built-in") as raised:
        _start(runs, "me", inputs, local=False)
    assert_is_one_sentence(str(raised.value))
    token = _start(runs, "me", inputs, local=True)["token"]
    run = wait_for(runs, token, "finished", "failed")
    assert run.phase == "finished" and "cat" in run.classes


def test_a_lone_coco_file_is_split(runs, place):
    _start(runs, "me", INPUTS | {"paused": True}, local=True)
    file = place / "page" / "shapes-4" / "train.json"
    token = _start(runs, "you", INPUTS | {"folder": str(file)}, local=True)["token"]
    run = wait_for(runs, token, "finished", "failed")
    assert run.phase == "finished" and len(run.held_out.pictures) == 1


def test_a_cache_that_cannot_be_written_is_replaced_for_the_time_being(runs, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "file" / "below"))
    token = _start(runs, "me", INPUTS, local=True)["token"]
    assert wait_for(runs, token, "finished", "failed").phase == "finished"


def test_every_knob_is_a_setting_of_every_recipe():
    for name in RECIPE_NAMES:
        recipe = RECIPES[name]
        values = defaults(recipe)["values"]
        assert set(values) == {knob.name for knob in KNOBS}, name
        assert all(value is not None for value in values.values()), name
        assert_is_json({k: list(v) if isinstance(v, tuple) else v for k, v in values.items()})
