import copy
import json

import numpy as np
import pytest

from fastrcnn.data import open_dataset, read_coco
from fastrcnn.errors import DataError

DOCUMENT = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "width": 40, "height": 30},
        {"id": 3, "file_name": "deep/a.png", "width": 20, "height": 10},
    ],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 9, "bbox": [1.5, 2, 10, 8], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 40, 30], "iscrowd": 1},
        {"id": 3, "image_id": 3, "category_id": 2, "bbox": [-0.5, 0, 21, 10.25]},
        {"id": 4, "image_id": 3, "category_id": 2, "bbox": [5, 5, 0, 3]},
    ],
    "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "강아지"}],
}


def write(folder, document, name="annotations/instances_some.json", pictures="some"):
    for picture in ("b.jpg", "deep/a.png"):
        path = folder / pictures / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_file_is_read_in_its_order(tmp_path):
    dataset = read_coco(write(tmp_path, DOCUMENT))
    assert dataset.name == "instances_some"
    assert dataset.classes == ("강아지", "dog")
    first, second = dataset
    assert [first.image_id, second.image_id] == ["7", "3"]
    assert second.path == tmp_path / "some" / "deep" / "a.png"
    assert (first.width, first.height) == (40, 30)
    assert first.boxes.tolist() == [[0, 0, 40, 30]]
    assert first.difficult.tolist() == [True]
    assert second.boxes.tolist() == [[1.5, 2, 11.5, 10], [0, 0, 20, 10]]
    assert second.labels.tolist() == [2, 1]
    assert second.difficult.tolist() == [False, False]
    assert second.boxes.dtype == np.float32
    assert second.labels.dtype == np.int64
    assert second.difficult.dtype == bool


def test_a_picture_without_objects(tmp_path):
    dataset = read_coco(write(tmp_path, DOCUMENT | {"annotations": []}))
    assert dataset[0].boxes.shape == (0, 4)
    assert dataset[0].labels.shape == dataset[0].difficult.shape == (0,)


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("annotations/instances_some.json", "some"),
        ("annotations/some.json", "images"),
        ("annotations/some.json", "images/some"),
        ("some.json", "."),
        ("some.json", "images"),
        ("instances_some.json", "some"),
        ("some/_annotations.coco.json", "some"),
    ],
)
def test_usual_places_are_found(tmp_path, name, pictures):
    path = write(tmp_path, DOCUMENT, name, pictures)
    for dataset in (open_dataset(tmp_path, "some"), open_dataset(path, "whatever")):
        assert dataset[0].path.samefile(tmp_path / pictures / "b.jpg")


def test_pictures_may_be_elsewhere(tmp_path):
    path = write(tmp_path, DOCUMENT, "x.json", "far/away")
    assert read_coco(path, tmp_path / "far/away")[0].path == tmp_path / "far/away/b.jpg"
    with pytest.raises(DataError, match=r"x\.json.*images\[0\]\.file_name.*b\.jpg"):
        read_coco(path)


def test_a_folder_with_image_sets_is_voc(tmp_path):
    write(tmp_path, DOCUMENT)
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no split 'some'.*ImageSets"):
        open_dataset(tmp_path, "some")


def test_what_is_neither_voc_nor_coco_is_refused(tmp_path):
    with pytest.raises(DataError, match="neither a VOC folder"):
        open_dataset(tmp_path, "some")
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere", "some")


def changed(*keys, to):
    """DOCUMENT with the value at the keys replaced, or removed where `to` is None."""
    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return document


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (changed("images", to=None), "images"),
        (changed("categories", to="none"), "categories"),
        ({"images": [], "annotations": [], "categories": []}, "no pictures"),
        (changed("images", 1, "width", to=0), "images[1].width"),
        (changed("images", 1, "width", to=20.5), "images[1].width"),
        (changed("images", 1, "height", to=True), "images[1].height"),
        (changed("images", 1, "height", to=None), "images[1].height"),
        (changed("images", 1, "file_name", to=5), "images[1].file_name"),
        (changed("images", 1, "file_name", to="gone.jpg"), "images[1].file_name"),
        (changed("images", 1, "id", to=7), "images[1].id"),
        (changed("annotations", 2, "image_id", to=8), "annotations[2].image_id"),
        (changed("annotations", 2, "category_id", to=1), "annotations[2].category_id"),
        (changed("annotations", 2, "category_id", to=[2]), "annotations[2].category_id"),
        (changed("annotations", 2, "bbox", to=None), "annotations[2].bbox"),
        (changed("annotations", 2, "bbox", to=[1, 2, 3]), "annotations[2].bbox"),
        (changed("annotations", 2, "bbox", 1, to="2"), "annotations[2].bbox[1]"),
        (changed("annotations", 2, "bbox", 1, to=float("nan")), "annotations[2].bbox[1]"),
        (changed("annotations", 2, "bbox", 1, to=10**400), "annotations[2].bbox[1]"),
        (changed("annotations", 2, "bbox", to=[5, 5, -1, 3]), "annotations[2].bbox"),
        (changed("annotations", 2, "bbox", to=[5, 5, 17, 3]), "annotations[2].bbox"),
        (changed("annotations", 2, "bbox", to=[5, 5, 3, 7]), "annotations[2].bbox"),
        (changed("annotations", 2, "bbox", to=[-2, 5, 3, 3]), "annotations[2].bbox"),
        (changed("annotations", 0, "iscrowd", to="no"), "annotations[0].iscrowd"),
        (changed("categories", 1, "id", to=9), "categories[1].id"),
        (changed("categories", 1, "name", to="dog"), "categories[1].name"),
        (changed("images", 1, to=[]), "images[1]"),
        ([], "the document"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path, document, field):
    with pytest.raises(DataError) as caught:
        read_coco(write(tmp_path, document))
    assert "instances_some" in str(caught.value)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ufeff{}", '{"images": 1e999}', "\0"])
def test_what_is_not_json_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="instances_some"):
        read_coco(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_coco(tmp_path / "none.json")
