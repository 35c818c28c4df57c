"""What the Teach tab's browser may ask, without a browser."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.errors import FastRCNNError
from fastrcnn.model import load_checkpoint
from fastrcnn.training.new_class import NEW_CLASS, Taught, learn_new_class, with_new_class
from fastrcnn.ui.explore.examples import Example
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory
from fastrcnn.ui.sessions import Analyses
from fastrcnn.ui.teach import server
from fastrcnn.ui.teach.albums import Album, Albums
from fastrcnn.ui.teach.server import Teacher
from tests.ui.conftest import assert_is_json, assert_is_one_sentence, served
from tests.visitor import Visitor

BOX = [20, 10, 70, 60]
FEW_STEPS = NEW_CLASS.but(iterations=20)


@pytest.fixture(scope="module")
def albums() -> Albums:
    return Albums(Limits(), Memory(Limits()))


@pytest.fixture(scope="module")
def analyses(detector) -> Analyses:
    return Analyses(detector)


@pytest.fixture(scope="module")
def teacher(albums, analyses, scene, tmp_path_factory) -> Teacher:
    path = tmp_path_factory.mktemp("examples") / "scene.png"
    Image.fromarray(scene).save(path)
    return Teacher(albums, analyses, {"scene": Example("scene", path, ())}, Limits())


def uploaded(image: np.ndarray, name: str) -> dict:
    uploads.prepare()
    folder = uploads.FILES / name
    folder.mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / "file.png")
    return {"uploaded": str(folder / "file.png"), "name": f"{name}.png"}


@pytest.fixture(scope="module")
def added(teacher, scene) -> list[dict]:
    """The notes while an example and an upload were added to an album."""
    files = [uploaded(np.ascontiguousarray(scene[:, ::-1]), "mirrored")]
    notes = list(teacher.add("first", {"examples": ["scene"], "files": files}))
    for note in notes:
        assert_is_json(note)
    return notes


@pytest.fixture(autouse=True)
def few_steps(monkeypatch) -> None:
    monkeypatch.setattr(server, "NEW_CLASS", FEW_STEPS)


@pytest.fixture
def two(albums, added) -> Iterator[Album]:
    """An album with the same two photographs."""
    for photo in albums.get(added[-1]["token"]).photos.values():
        albums.add("me", photo.name, photo.trace)
    yield albums.of("me")
    albums.close("me")


def test_photographs_are_seen_by_the_detector_that_ships(added, albums, detector, scene):
    last = added[-1]
    assert [photo["name"] for photo in last["photos"]] == ["mirrored.png", "scene.png"]
    assert last["doing"] is None and last["taught"] is None
    photo = albums.get(last["token"]).photos[1]
    assert torch.equal(photo.trace.boxes, detector.trace(scene).boxes)


def test_a_photograph_is_shown_and_can_be_removed(teacher, two, scene):
    functions = {function.__name__: function for function in teacher.functions()}
    shown = functions["photo"]({"token": two.token, "photo": 0})
    assert (shown["width"], shown["height"]) == (scene.shape[1], scene.shape[0])
    left = functions["remove"]({"token": two.token, "photo": 0})
    assert [photo["number"] for photo in left["photos"]] == [1]
    assert "error" in functions["photo"]({"token": two.token, "photo": 0})


def test_what_is_taught_is_what_the_core_learns_and_can_be_saved(
    teacher, two, analyses, detector, tmp_path
):
    inputs = {"token": two.token, "name": " ball ", "boxes": {"0": [BOX], "1": []}}
    notes = list(teacher.teach("me", inputs))
    for note in notes:
        assert_is_json(note)
    last, album = notes[-1], two
    assert last["taught"] == "ball" and last["doing"] is None
    assert all(photo["found"] is not None for photo in last["photos"])

    model = with_new_class(detector.model, "ball")
    objects = torch.tensor([BOX], dtype=torch.float32)
    steps = list(learn_new_class(model, [Taught(album.photos[0].trace, objects)], FEW_STEPS))
    assert [step[:1] for step in last["steps"]] == [[step.iteration] for step in steps]
    expected = [[step.loss, step.object_score, step.background_score] for step in steps]
    np.testing.assert_allclose([step[1:] for step in last["steps"]], expected, atol=6e-5)
    assert torch.equal(album.detector.model.head.cls_score.weight, model.head.cls_score.weight)

    functions = {function.__name__: function for function in teacher.functions()}
    taken = functions["takeaway"]({"token": two.token})
    path = tmp_path / taken["name"]
    path.write_bytes(base64.b64decode(taken["src"].split(",", 1)[1]))
    saved, metadata = load_checkpoint(path)
    assert saved.config.classes == (*detector.classes, "ball")
    assert metadata["new_class"] == {"name": "ball", "pictures": 1}

    analysis, photo = teacher.look("me", {"token": two.token, "photo": 1})
    assert analysis.detector is album.detector is analyses.detector_of("me")
    assert photo is album.photos[1]


def test_a_photograph_that_is_added_later_is_looked_through(teacher, two):
    boxes = {"0": [BOX]}
    list(teacher.teach("me", {"token": two.token, "name": "ball", "boxes": boxes}))
    last = list(teacher.add("me", {"examples": ["scene"]}))[-1]
    assert last["photos"][2]["found"] == last["photos"][1]["found"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"token": "nosuch"}, "no longer kept"),
        ({"name": ""}, "needs a name"),
        ({"name": 5}, "needs a name"),
        ({"name": "x" * 31}, "at most 30"),
        ({"boxes": {}}, "at least one object"),
        ({"boxes": None}, "at least one object"),
        ({"boxes": {"0": []}}, "at least one object"),
        ({"boxes": {"7": [BOX]}}, "no such photograph"),
        ({"boxes": {"cat": [BOX]}}, "no such photograph"),
        ({"boxes": {"0": [[0, 0, 0, 0]]}}, "A box is"),
        ({"boxes": {"0": [BOX] * 21}}, "20 boxes"),
        ({"boxes": {"0": 3}}, "20 boxes"),
    ],
)
def test_wrong_inputs_are_one_sentence_and_teach_nothing(teacher, two, wrong, message):
    inputs = {"token": two.token, "name": "ball", "boxes": {"0": [BOX]}} | wrong
    with pytest.raises(FastRCNNError, match=message) as raised:
        list(teacher.teach("me", inputs))
    assert_is_one_sentence(str(raised.value))
    assert two.detector is None


def test_a_name_that_the_detector_has_already_is_refused(teacher, two, detector):
    inputs = {"token": two.token, "name": detector.classes[0], "boxes": {"0": [BOX]}}
    with pytest.raises(FastRCNNError, match="classes must be different names"):
        list(teacher.teach("me", inputs))


@pytest.mark.parametrize(
    "inputs",
    [
        {"examples": ["nosuch"]},
        {"files": [{"uploaded": "/etc/passwd"}]},
        {"files": [{"uploaded": 3, "name": []}]},
        {"files": [None]},
    ],
)
def test_what_is_no_photograph_is_refused(teacher, albums, inputs):
    with pytest.raises(FastRCNNError) as raised:
        list(teacher.add("you", inputs))
    assert_is_one_sentence(str(raised.value))
    assert albums.held("you") == 0


def test_before_the_teaching_there_is_nothing_to_take_or_open(teacher, two):
    functions = {function.__name__: function for function in teacher.functions()}
    assert_is_one_sentence(functions["takeaway"]({"token": two.token})["error"])
    with pytest.raises(FastRCNNError, match="Nothing was taught"):
        teacher.look("me", {"token": two.token, "photo": 0})


def test_so_many_visitors_are_taught_at_a_time_and_each_gets_its_own_class(
    detector, scene, monkeypatch
):
    learning, at_once = [], []

    def learn(*inputs):
        learning.append(1)
        time.sleep(0.2)
        at_once.append(len(learning))
        learning.pop()
        return iter(())

    monkeypatch.setattr(server, "learn_new_class", learn)
    file = BytesIO()
    Image.fromarray(scene).save(file, "PNG")
    names = ["ball", "cup", "hat"]

    def teach(name: str) -> str:
        with Visitor(address) as visitor:
            path = visitor.send(file.getvalue(), "scene.png")["path"]
            sent = [{"uploaded": path, "name": "scene.png"}]
            *_, album = visitor.notes("teach", "collect", files=sent)
            inputs = {"token": album["token"], "name": name, "boxes": {"0": [BOX]}}
            *_, last = visitor.notes("teach", "teach", **inputs)
            return last["taught"]

    with served(detector, Limits(teachings=1)) as (_, address), ThreadPoolExecutor(3) as pool:
        assert list(pool.map(teach, names)) == names
    assert at_once == [1] * 3
