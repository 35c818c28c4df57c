"""The built-in set: the same pictures for a seed, exact boxes, objects that can be found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastrcnn.data import Annotation, Dataset, draw_shapes, open_dataset, shapes, write_shapes
from fastrcnn.errors import DataError
from fastrcnn.evaluation.recall import proposal_recall
from fastrcnn.images import load_image
from fastrcnn.proposals import selective_search

SEEDS = range(60)


@pytest.fixture(scope="module")
def drawn() -> list:
    """Pictures with the whole silhouette of each shape."""
    return [shapes._draw(seed) for seed in SEEDS]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_seed_gives_one_picture_and_another_seed_another():
    assert same(draw_shapes(3), draw_shapes(3))
    assert not same(draw_shapes(3)[:1], draw_shapes(4)[:1])


def test_pictures_are_small_and_hold_several_objects(drawn):
    counts = []
    for image, _, labels in drawn:
        height, width, _ = image.shape
        assert image.dtype == np.uint8
        assert 120 <= height <= 180 and 160 <= width <= 240
        counts.append(len(labels))
    assert min(counts) >= 1 and max(counts) <= 6 and 3 < np.mean(counts) < 5
    assert len({image.shape for image, _, _ in drawn}) > 30


def test_boxes_are_those_of_the_drawn_silhouettes(drawn):
    for seed, (image, masks, labels) in zip(SEEDS, drawn, strict=True):
        given, boxes, given_labels = draw_shapes(seed)
        assert np.array_equal(given, image) and np.array_equal(given_labels, labels)
        assert boxes.shape == (len(masks), 4) and boxes.dtype == np.float32
        assert given_labels.dtype == np.int64
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
            # All of the silhouette lies inside, and it touches each side.
            inside = mask[y1:y2, x1:x2]
            assert inside.sum() == mask.sum() > 0
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()


def test_the_picture_shows_a_shape_where_its_silhouette_is(drawn, monkeypatch):
    """Without what is laid down last, the picture is another inside its box and nowhere else."""
    blend, layers = shapes._blend, []

    def noted(*given):
        layers.append(blend(*given))
        return layers[-1].copy()

    monkeypatch.setattr(shapes, "_blend", noted)
    for seed in SEEDS[:20]:
        _, masks, _ = drawn[seed]
        shapes._draw(seed)
        changed = np.abs(layers[-1] - layers[-2]).max(axis=2)
        x1, y1, x2, y2 = shapes._box(masks[-1])
        outside = np.ones(changed.shape, bool)
        # Pixels that are covered by less than half lie a little outside, at a star's tip most.
        outside[max(y1 - 3, 0) : y2 + 3, max(x1 - 3, 0) : x2 + 3] = False
        assert not changed[outside].any()
        assert np.median(changed[masks[-1]]) > 20


def test_every_shape_can_be_seen_though_many_overlap(drawn):
    overlapping = 0
    for _, masks, _ in drawn:
        for index, mask in enumerate(masks):
            seen = mask & ~np.any(masks[index + 1 :], axis=0) if masks[index + 1 :] else mask
            assert seen.sum() >= 0.75 * mask.sum()
            x1, y1, x2, y2 = shapes._box(seen)
            left, top, right, bottom = shapes._box(mask)
            assert (x2 - x1) * (y2 - y1) >= 0.8 * (right - left) * (bottom - top)
            overlapping += seen.sum() < mask.sum()
    assert overlapping > 30


def test_classes_are_balanced(drawn):
    counts = np.bincount(np.concatenate([labels for _, _, labels in drawn]))[1:]
    assert len(counts) == len(shapes.CLASSES)
    assert counts.min() > 0.6 * counts.mean() and counts.max() < 1.4 * counts.mean()


def test_selective_search_finds_the_objects():
    pictures, found = [], []
    for seed in range(1000, 1024):
        image, boxes, labels = draw_shapes(seed)
        height, width = image.shape[:2]
        none = np.zeros(len(labels), bool)
        pictures.append(Annotation(str(seed), None, width, height, boxes, labels, none))
        found.append(selective_search(image).boxes)
    quality = proposal_recall(found, Dataset("shapes", shapes.CLASSES, tuple(pictures)))
    assert quality.recall >= 0.95


def test_what_is_written_is_what_was_drawn(tmp_path):
    assert write_shapes(tmp_path / "set", seed=5, train=3, val=2) == tmp_path / "set"
    train, val = (open_dataset(tmp_path / "set", split) for split in ("train", "val"))
    assert train.classes == shapes.CLASSES
    assert (len(train), len(val)) == (3, 2)
    for split, dataset in (("train", train), ("val", val)):
        for index, item in enumerate(dataset):
            image, boxes, labels = draw_shapes(shapes._picture_seed(5, split, index))
            assert same((load_image(item.path), item.boxes, item.labels), (image, boxes, labels))
            assert not item.difficult.any()
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        *("train", "train.json", "val", "val.json")
    }
    assert len(list((tmp_path / "set" / "train").iterdir())) == 3


def test_no_two_splits_or_seeds_share_a_picture_and_a_longer_split_goes_on(tmp_path):
    write_shapes(tmp_path / "one", seed=0, train=3, test=3)
    write_shapes(tmp_path / "other", seed=1, train=3)
    write_shapes(tmp_path / "longer", seed=0, train=4)
    pictures = [path.read_bytes() for path in tmp_path.rglob("*.png")]
    assert len(pictures) == 13 and len(set(pictures)) == 10
    for index in range(3):
        name = f"train/{index:05}.png"
        one, longer = (tmp_path / folder / name for folder in ("one", "longer"))
        assert one.read_bytes() == longer.read_bytes()


def test_a_set_that_is_there_is_left_and_what_is_missing_made(tmp_path, monkeypatch):
    write_shapes(tmp_path, train=3)
    drawn = []
    monkeypatch.setattr(shapes, "draw_shapes", lambda seed: drawn.append(seed) or draw_shapes(seed))
    write_shapes(tmp_path, train=3)
    assert not drawn
    (tmp_path / "train" / "00001.png").unlink()
    write_shapes(tmp_path, train=3, val=1)
    assert len(drawn) == 4
    assert len(open_dataset(tmp_path, "train")) == 3
    write_shapes(tmp_path, train=2, seed=8)
    first = open_dataset(tmp_path, "train")[0]
    assert np.array_equal(first.boxes, draw_shapes(shapes._picture_seed(8, "train", 0))[1])


def test_a_killed_write_is_not_taken_for_a_set(tmp_path, monkeypatch):
    write_shapes(tmp_path, train=2)

    def killed(seed):
        if (tmp_path / "train" / "00001.png").stat().st_mtime_ns > before:
            raise KeyboardInterrupt
        return draw_shapes(seed)

    before = (tmp_path / "train" / "00001.png").stat().st_mtime_ns
    monkeypatch.setattr(shapes, "draw_shapes", killed)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path, train=4)
    with pytest.raises(DataError):
        open_dataset(tmp_path, "train")
    monkeypatch.undo()
    write_shapes(tmp_path, train=4)
    assert len(open_dataset(tmp_path, "train")) == 4


def test_a_full_disk_is_one_sentence_and_leaves_no_half_files(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastrcnn.runtime.atomic_write.os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_shapes(tmp_path, train=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["train"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"info": 3}', "no JSON"])
def test_another_data_set_is_never_overwritten(tmp_path, content):
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(DataError, match="another data set"):
        write_shapes(tmp_path, train=1)
    assert (tmp_path / "train.json").read_text() == content


def test_the_json_is_coco(tmp_path):
    document = json.loads((write_shapes(tmp_path, val=1) / "val.json").read_text())
    assert {"info", "images", "annotations", "categories"} == set(document)
    assert [item["name"] for item in document["categories"]] == list(shapes.CLASSES)
    _, _, width, height = document["annotations"][0]["bbox"]
    assert document["annotations"][0]["area"] == width * height


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"train": 0}, "train cannot have 0"),
        ({"train": -2}, "cannot have -2"),
        ({"train": 1.5}, "cannot have 1.5"),
        ({"../train": 1}, "name of a split"),
        ({"train": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path, settings, words):
    with pytest.raises(DataError, match=words) as caught:
        write_shapes(tmp_path / "set", **settings)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="name another folder"):
        write_shapes(tmp_path / "file", train=1)
