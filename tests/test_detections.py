"""What a person would do with the answer for a picture."""

from __future__ import annotations

import gc
import json
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
import supervision
from PIL import Image

from fastrcnn.detections import Detection, Detections, Origin
from fastrcnn.detector import Detector
from fastrcnn.draw import draw_detections
from fastrcnn.errors import FastRCNNError, ImageError
from fastrcnn.images import load_image
from tests.test_draw import parts


@pytest.fixture(scope="module")
def detector(tiny_checkpoint) -> Detector:
    return Detector.from_checkpoint(tiny_checkpoint, "single")


def some(count: int = 3, **changes) -> Detections:
    steps = np.arange(count, dtype=np.float32)
    values = {
        "boxes": np.stack([steps, steps, steps + 20, steps + 30], axis=1),
        "scores": 0.98 - steps / 10,
        "labels": np.arange(count) % 2 + 1,
        "classes": ("cat", "dog"),
    }
    return Detections(**values | changes)


def pixels_of(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_repr_names_the_surest_detections():
    assert repr(some(0)) == "no detections"
    assert repr(some(1)) == "1 detection: cat 0.98"
    assert repr(some(3)) == "3 detections: cat 0.98, dog 0.88, cat 0.78"
    assert repr(some(7)).endswith("cat 0.58 and 2 more")


def test_each_has_a_name_a_score_and_a_box():
    first, second = some(2)
    assert first == Detection("cat", pytest.approx(0.98), (0, 0, 20, 30))
    name, _, box = second
    assert name == "dog" and box == (1, 1, 21, 31)
    assert all(type(value) is float for value in (first.score, *first.box))
    assert list(some(0)) == []


def test_they_are_equal_when_they_say_the_same():
    assert some() == some()
    assert some() == some(origin=Origin("a.jpg", 40, 50))
    assert some() == some(labels=np.array([2, 1, 2]), classes=("dog", "cat"))
    assert some() != some(2)
    assert some() != some(scores=np.array([0.9, 0.8, 0.7], np.float32))
    assert some() != some(classes=("cat", "cow"))
    assert some() != "3 detections"


def test_a_part_of_them_knows_its_picture():
    origin = Origin("a.jpg", 40, 50)
    assert some(origin=origin).first(1).origin is origin
    assert some(origin=origin).above(0.8).origin is origin
    assert len(some().above(0.8)) == 2


def test_from_a_file_to_a_drawn_file(detector, photo, tmp_path):
    trace = detector.trace(photo)
    assert len(trace.detections) > 0
    trace.detections.save(tmp_path / "out.png")
    drawn = draw_detections(load_image(photo), *parts(trace.detections))
    assert (pixels_of(tmp_path / "out.png") == drawn).all()
    trace.detections.save(str(tmp_path / "out.jpg"))
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.format == "JPEG" and image.size == (160, 120)


def test_a_relative_path_is_found_again_from_another_folder(detector, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(photo.parent)
    found = detector(photo.name)
    monkeypatch.chdir(tmp_path)
    found.save("out.png")
    assert json.loads(found.to_json())["image"] == photo.name


@pytest.mark.parametrize("form", [np.asarray, np.array, Image.fromarray])
def test_an_array_or_picture_is_drawn_on_while_it_is_there_and_not_kept(
    detector, photo, tmp_path, form
):
    image = form(load_image(photo))
    found = detector(image)
    found.save(tmp_path / "out.png")
    assert (
        pixels_of(tmp_path / "out.png") == draw_detections(load_image(photo), *parts(found))
    ).all()
    held = weakref.ref(image)
    del image
    gc.collect()
    assert held() is None
    with pytest.raises(ImageError, match=r"no longer at hand; give it as the argument image\.$"):
        found.save(tmp_path / "again.png")
    found.save(tmp_path / "again.png", image=photo)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_to_save_a_picture_given_as_bytes_it_is_given_again(detector, photo, tmp_path):
    found = detector(photo.read_bytes())
    with pytest.raises(ImageError, match="give it as the argument image"):
        found.save(tmp_path / "out.png")
    found.save(tmp_path / "out.png", photo.read_bytes())


def test_detections_made_by_hand_are_drawn_on_what_is_given(photo):
    with pytest.raises(ImageError, match="not known which picture"):
        some().draw()
    assert (some().draw(photo) == draw_detections(load_image(photo), *parts(some()))).all()


def test_a_picture_of_another_size_is_refused(detector, photo, tmp_path):
    found = detector(photo)
    other = np.zeros((60, 80, 3), np.uint8)
    with pytest.raises(ImageError, match=r"is 80 x 60 .* one of 160 x 120"):
        found.save(tmp_path / "out.png", other)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", ["out", "out.nosuch", "nosuch/out.png"])
def test_what_cannot_be_written_is_one_sentence(detector, photo, tmp_path, name):
    with pytest.raises(
        ImageError, match=r"out[^ ]* cannot be written[:;] [^.]+(\.png or \.jpg)?\.$"
    ):
        detector(photo).save(tmp_path / name)


def test_they_go_to_another_process_and_back(detector, photo, tmp_path):
    image = load_image(photo)
    for source in (photo, image):
        found = detector(source)
        again = pickle.loads(pickle.dumps(found))
        assert again == found and again.to_json() == found.to_json()
    with pytest.raises(ImageError, match="no longer at hand"):
        again.draw()
    pickle.loads(pickle.dumps(detector(photo))).save(tmp_path / "out.png")


def test_json_is_the_record_of_the_command_line(detector, photo):
    trace = detector.trace(photo)
    record = json.loads(trace.detections.to_json())
    assert record == {
        "image": str(photo),
        "width": 160,
        "height": 120,
        "detections": trace.detections.to_list(),
        "seconds": {name: round(value, 4) for name, value in trace.seconds.items()},
    }
    unknown = json.loads(some().to_json())
    assert unknown["detections"] == some().to_list()
    assert unknown["image"] is None and unknown["width"] is None


def test_a_table_has_a_row_for_each_detection():
    table = some(2).to_dataframe()
    assert list(table.columns) == ["name", "score", "x1", "y1", "x2", "y2"]
    assert table["name"].tolist() == ["cat", "dog"]
    assert table["score"].tolist() == pytest.approx([0.98, 0.88])
    assert table.loc[1, "x1":"y2"].tolist() == [1, 1, 21, 31]
    assert list(some(0).to_dataframe().columns) == list(table.columns)


def test_without_pandas_a_table_says_so_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        FastRCNNError, match=r"^to_dataframe needs pandas; .* pip install pandas\.$"
    ):
        some().to_dataframe()
    with pytest.raises(ImportError):
        some().to_dataframe()


def test_a_notebook_shows_the_picture_or_the_words(detector, photo):
    assert detector(photo)._repr_png_().startswith(b"\x89PNG")
    assert some()._repr_png_() is None


@pytest.mark.parametrize("count", [3, 0])
def test_supervision_takes_them_draws_them_and_finds_them_right(count):
    boxes = np.array([[9, 9, 60, 50], [70, 5, 110, 90], [5, 60, 50, 99]], np.float32)
    found = some(count, boxes=boxes[:count])
    theirs = found.to_supervision()
    assert len(theirs) == count
    assert np.array_equal(theirs.xyxy, found.boxes)
    assert np.array_equal(theirs.confidence, found.scores)
    assert theirs["class_name"].tolist() == found.names
    assert [found.classes[number] for number in theirs.class_id] == found.names
    # What a user would do next: filter, draw, measure.
    assert len(theirs[theirs.confidence > 0.9]) == min(count, 1)
    scene = np.full((100, 120, 3), 200, np.uint8)
    drawn = supervision.BoxAnnotator().annotate(scene.copy(), theirs)
    drawn = supervision.LabelAnnotator().annotate(drawn, theirs)
    assert (drawn != scene).any() == bool(count)
    if count:
        metric = supervision.metrics.MeanAveragePrecision()
        assert metric.update(theirs, theirs).compute().map50 == pytest.approx(1)


def test_without_supervision_it_says_so_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(FastRCNNError, match=r"pip install supervision\.$"):
        some().to_supervision()


def test_detections_need_neither_torch_nor_pandas():
    code = (
        "import sys, fastrcnn.detections; sys.exit(bool({'torch', 'pandas'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
