import json

import numpy as np
import pytest
from PIL import Image

from fastrcnn.data import VOC_CLASSES
from fastrcnn.images import load_image
from fastrcnn.ui.explore.examples import ASSETS, Example, read_examples

SHIPPED = read_examples()


def test_photographs_ship_in_the_order_of_their_names():
    assert len(SHIPPED) >= 6
    assert list(SHIPPED) == sorted(SHIPPED)
    assert all(name == example.name == example.path.stem for name, example in SHIPPED.items())


def test_every_photograph_with_true_objects_ships():
    listed = json.loads((ASSETS / "objects.json").read_text(encoding="utf-8"))
    assert listed and listed.keys() <= {example.path.name for example in SHIPPED.values()}
    for file, objects in listed.items():
        assert list(SHIPPED[file.removesuffix(".jpg")].objects) == objects


@pytest.mark.parametrize("name", SHIPPED)
def test_true_objects_lie_on_their_photograph(name):
    with Image.open(SHIPPED[name].path) as image:
        assert image.format == "JPEG"
        width, height = image.size
    for known in SHIPPED[name].objects:
        assert known.keys() == {"label", "box", "difficult"}
        assert known["label"] in VOC_CLASSES and type(known["difficult"]) is bool
        x1, y1, x2, y2 = known["box"]
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height


def test_a_thumbnail_is_the_photograph_made_small():
    example = next(iter(SHIPPED.values()))
    image, small = load_image(example.path), example.thumbnail
    assert small.dtype == np.uint8 and small.shape[0] == 96 and small.shape[2] == 3
    assert small.shape[1] == pytest.approx(96 * image.shape[1] / image.shape[0], abs=0.5)
    np.testing.assert_allclose(small.mean((0, 1)), image.mean((0, 1)), atol=2)


def test_a_thumbnail_is_at_least_a_pixel_wide(tmp_path):
    Image.new("RGB", (1, 400), "red").save(tmp_path / "line.jpg")
    assert Example("line", tmp_path / "line.jpg", ()).thumbnail.shape == (96, 1, 3)


def test_a_folder_without_objects_has_photographs_without_objects(tmp_path):
    for name in ("b.jpg", "a.jpg", "c.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    assert read_examples(tmp_path) == {
        name: Example(name, tmp_path / f"{name}.jpg", ()) for name in ("a", "b")
    }


def test_an_empty_folder_has_no_examples(tmp_path):
    assert read_examples(tmp_path) == {}
