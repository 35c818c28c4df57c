"""Data sets from strangers: paths that lead elsewhere, hostile fields, going on without them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastrcnn.cli import main
from fastrcnn.data import open_dataset, read_coco, read_voc, without_bad_pictures
from fastrcnn.errors import DataError


@pytest.fixture
def folder(voc, tmp_path) -> Path:
    """A copy of the VOC folder, to be spoilt, with a picture beside it that is none of its own."""
    root = tmp_path / "set"
    shutil.copytree(voc, root)
    for path in (tmp_path / "secret.jpg", tmp_path / "secret.xml"):
        shutil.copy(
            root
            / ("JPEGImages" if path.suffix == ".jpg" else "Annotations")
            / f"000001{path.suffix}",
            path,
        )
    return root


@pytest.fixture(autouse=True)
def _tiny_by_default(monkeypatch, tiny_checkpoint, tmp_path):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "cache"))


def refused(read, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert "\n" not in message and message.endswith("."), message
    assert len(message) < 700
    return message


def list_in_split(folder: Path, *image_ids: str) -> None:
    (folder / "ImageSets/Main/val.txt").write_text("\n".join(image_ids) + "\n")


# Pascal VOC


@pytest.mark.parametrize("image_id", ["../../secret", "{tmp}/secret", "/etc/passwd", "../" * 40])
def test_voc_ids_that_lead_out_of_the_folder(folder, tmp_path, image_id):
    list_in_split(folder, image_id.format(tmp=tmp_path))
    message = refused(read_voc, folder, "val")
    assert "The annotation, " in message
    assert "lies outside" in message or "does not exist" in message


@pytest.mark.parametrize("image_id", ["\0", "a\0b", "x" * 300, "x/" * 3000, "\x1b[31m", "."])
def test_voc_ids_that_are_no_file_names(folder, image_id):
    list_in_split(folder, image_id)
    refused(read_voc, folder, "val")


@pytest.mark.parametrize("part", ["Annotations/000001.xml", "JPEGImages/000001.jpg"])
def test_voc_files_that_are_links_out_of_the_folder(folder, tmp_path, part):
    (folder / part).unlink()
    (folder / part).symlink_to(tmp_path / f"secret{Path(part).suffix}")
    assert "lies outside" in refused(read_voc, folder, "val")


def test_a_link_within_the_folder_or_to_all_of_it_is_fine(folder, tmp_path):
    (folder / "JPEGImages").rename(tmp_path / "elsewhere")
    (folder / "JPEGImages").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "000002.jpg").unlink()
    (tmp_path / "elsewhere" / "000002.jpg").symlink_to("000001.jpg")
    assert len(read_voc(folder, "val")) == 2


def test_a_link_to_itself_is_refused(folder):
    (folder / "JPEGImages/000001.jpg").unlink()
    (folder / "JPEGImages/000001.jpg").symlink_to("000001.jpg")
    refused(read_voc, folder, "val")


@pytest.mark.parametrize(
    "name", ["../../secret.jpg", "/etc/passwd", "..", ".", "", "\u202e", "x" * 5000]
)
def test_voc_file_names_that_lead_out_of_the_folder(folder, name):
    (folder / "JPEGImages/000001.jpg").unlink()
    xml = folder / "Annotations/000001.xml"
    xml.write_text(
        re.sub("<filename>.*</filename>", f"<filename>{name}</filename>", xml.read_text())
    )
    assert "000001" in refused(read_voc, folder, "val")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("<width>160", "<width>1e300", "size/width"),
        ("<width>160", "<width>50000001", "size/width"),
        ("<height>120", "<height>-120", "size/height"),
        ("<xmax>70", "<xmax>inf", "object[1]/bndbox/xmax"),
        ("<xmin>21", "<xmin>" + "9" * 5000, "object[1]/bndbox/xmin"),
        ("<name>cat", "<name>" + "cat" * 5000, "object[1]/name"),
        ("<name>cat", "<name>c\na\nt", "object[1]/name"),
    ],
)
def test_voc_fields_beyond_reason(folder, old, new, field):
    xml = folder / "Annotations/000001.xml"
    xml.write_text(xml.read_text().replace(old, new))
    message = refused(read_voc, folder, "val")
    assert field in message and "000001.xml" in message


def test_an_entity_bomb_takes_neither_time_nor_memory(folder):
    entities = "".join(
        f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 12)
    )
    xml = folder / "Annotations/000001.xml"
    xml.write_text(f'<!DOCTYPE b [<!ENTITY e0 "ha">{entities}]><annotation>&e11;</annotation>')
    assert "document type" in refused(read_voc, folder, "val")


def test_xml_nested_without_end_is_refused(folder):
    (folder / "Annotations/000001.xml").write_text("<annotation>" * 200_000)
    refused(read_voc, folder, "val")


# COCO JSON


def coco(folder: Path, **changes) -> Path:
    """A COCO file of the pictures in `folder`; changes: by the first letter of where they go."""
    document = {
        "images": [
            {"id": number, "file_name": f"00000{number}.jpg", "width": 160, "height": 120}
            for number in (1, 2)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 5, "bbox": [20, 20, 50, 60]}
            for number in (1, 2)
        ],
        "categories": [{"id": 5, "name": "cat"}],
    }
    places = {"image": "images", "box": "annotations", "category": "categories"}
    for place, values in changes.items():
        document[places[place]][0] |= values
    path = folder / "some.json"
    path.write_text(json.dumps(document))
    shutil.copytree(folder / "JPEGImages", folder / "images", symlinks=True, dirs_exist_ok=True)
    return path


@pytest.mark.parametrize(
    "name",
    ["../../secret.jpg", "{tmp}/secret.jpg", "/etc/passwd", "../images/000001.jpg", "..", ".", ""],
)
def test_coco_names_that_lead_out_of_the_folder(folder, tmp_path, name):
    path = coco(folder, image={"file_name": name.format(tmp=tmp_path)})
    message = refused(read_coco, path)
    assert "images[0].file_name" in message and "some.json" in message


@pytest.mark.parametrize("name", ["\0", "\ud800", "a\n.jpg", "\x1b[2J", "x" * 5000, "x/" * 3000])
def test_coco_names_that_no_file_has(folder, name):
    message = refused(read_coco, coco(folder, image={"file_name": name}))
    assert "images[0].file_name" in message


def test_coco_pictures_that_are_links_out_of_the_folder(folder, tmp_path):
    path = coco(folder)
    (folder / "images/000001.jpg").unlink()
    (folder / "images/000001.jpg").symlink_to(tmp_path / "secret.jpg")
    assert "lies outside" in refused(read_coco, path)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"image": {"width": 10**400}}, "images[0].width"),
        ({"image": {"width": 50_000_001}}, "images[0].width"),
        ({"image": {"id": 10**400}}, "images[0].id"),
        ({"image": {"id": float("inf")}}, "images[0].id"),
        ({"box": {"image_id": 10**400}}, "annotations[0].image_id"),
        ({"box": {"bbox": [0, 0, float("inf"), 5]}}, "annotations[0].bbox[2]"),
        ({"box": {"bbox": [-30, 20, 50, 60]}}, "annotations[0].bbox"),
        ({"box": {"bbox": [150, 20, 50, 60]}}, "annotations[0].bbox"),
        ({"box": {"bbox": [1e11, 20, 50, 60]}}, "annotations[0].bbox"),
        ({"box": {"category_id": 6}}, "annotations[0].category_id"),
        ({"category": {"name": "c\x1b[31m"}}, "categories[0].name"),
        ({"category": {"name": "\udfff"}}, "categories[0].name"),
    ],
)
def test_coco_fields_beyond_reason(folder, changes, field):
    message = refused(read_coco, coco(folder, **changes))
    assert field in message and "some.json" in message


# Going on without bad pictures


def spoil(folder: Path, how: str) -> str:
    """Make the first picture bad; gives what its reason holds."""
    picture, xml = folder / "JPEGImages/000001.jpg", folder / "Annotations/000001.xml"
    if how == "no annotation":
        xml.unlink()
        return "000001.xml does not exist"
    if how == "no XML":
        xml.write_text("<annotation>")
        return "000001.xml is not a readable XML"
    if how == "unknown class":
        xml.write_text(xml.read_text().replace("cat", "unicorn"))
        return "unicorn"
    if how == "no picture":
        picture.unlink()
        return "000001.jpg does not exist"
    if how == "broken picture":
        picture.write_bytes(picture.read_bytes()[:-300])
        return "000001.jpg could not be decoded"
    if how == "no photograph":
        picture.write_text("<html>")
        return "000001.jpg is not a picture"
    Image.new("RGB", (50, 40)).save(picture)
    return "000001.jpg is 50 x 40 pixels, but its annotation says 160 x 120"


WAYS = ("no annotation", "no XML", "unknown class", "no picture", "broken picture")
WAYS = (*WAYS, "no photograph", "another size")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("command", ["evaluate", "recall"])
def test_evaluate_and_recall_stop_at_a_bad_picture_or_skip_it(folder, how, command, capsys):
    reason = spoil(folder, how)
    line = [command, "--data", str(folder), "--json", "-"]
    line += ["--mode", "single"] if command == "recall" else []
    assert main(line) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and reason in printed.err

    assert main([*line, "--skip-bad"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    if command == "evaluate":
        assert answer["images"] == 1
    else:
        assert [row["recall"] for row in answer] == [1.0, 1.0]
    parts = printed.err.split("Left out 1 bad entries of the split 'val'; the first reasons:\n")
    assert len(parts) == 2
    assert reason in parts[1].splitlines()[0]


def test_train_skips_bad_pictures_and_can_be_resumed(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # no processes of its own for two pictures
    reason = spoil(folder, "broken picture")
    small = "shorter=32 longer=64 fc6=8 fc7=8 fc6_rank=4 images_per_batch=1 rois_per_batch=16"
    small += " flip=false proposals_mode=single first_trainable=fc6 epochs=2"
    settings = [word for pair in small.split() for word in ("--set", pair)]
    line = ["train", "--recipe", "laptop", "--data", str(folder), "--out", str(tmp_path / "run")]
    assert main([*line, *settings, "--skip-bad"]) == 0
    printed = capsys.readouterr().err
    for split in ("train", "val"):
        assert f"Left out 1 bad entries of the split '{split}'" in printed
    assert printed.count(reason) == 2
    assert main([*line, *settings, "--skip-bad", "--resume"]) == 0


def test_only_the_first_reasons_are_given(folder, capsys):
    list_in_split(folder, "000001", *"abcde")
    assert main(["evaluate", "--data", str(folder), "--skip-bad"]) == 0
    printed = capsys.readouterr().err
    assert "Left out 5 bad entries" in printed
    assert [name for name in "abcde" if f"{name}.xml" in printed] == ["a", "b", "c"]


@pytest.mark.parametrize("how", ["no XML", "no photograph"])
def test_without_a_single_good_picture_there_is_an_error(folder, how, capsys):
    spoil(folder, how)
    list_in_split(folder, "000001")
    assert main(["evaluate", "--data", str(folder), "--skip-bad"]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: set val has no picture")


def test_coco_objects_and_pictures_are_skipped(folder):
    path = coco(folder, box={"image_id": 77}, image={"width": 0})
    bad = []
    dataset = open_dataset(path, "val", bad.append)
    assert [item.image_id for item in dataset] == ["2"]
    assert ["annotations[0].image_id" in str(bad[0]), "images[0].width" in str(bad[1])] == [
        True
    ] * 2
    # What names all pictures' labels or is no list at all cannot be skipped.
    for changes in ({"category": {"id": "x"}}, {"category": {"name": None}}):
        with pytest.raises(DataError, match=r"categories\[0\]"):
            read_coco(coco(folder, **changes), on_bad=bad.append)


def test_good_pictures_are_all_kept(folder):
    dataset = read_voc(folder, "val")
    kept = without_bad_pictures(dataset, pytest.fail)
    assert kept.annotations == dataset.annotations
    assert all(np.array_equal(a.boxes, b.boxes) for a, b in zip(kept, dataset, strict=True))
