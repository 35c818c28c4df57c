"""Proposals of other programs: every form gives the same boxes, and no file runs code."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from fastrcnn.data import Annotation
from fastrcnn.errors import DataError, MissingPackageError
from fastrcnn.proposals.dense import DenseBoxes
from fastrcnn.proposals.files import ProposalFile, open_proposals

WIDTH, HEIGHT = 80, 60
NAMES = ("000005", "000007")
PICTURES = [Path(f"JPEGImages/{name}.jpg") for name in NAMES]
# In pixels, x2 and y2 exclusive. Two boxes, and one.
BOXES = [
    np.array([[0, 0, 20, 30], [10, 5, 80, 60]], np.float32),
    np.array([[3, 4, 9, 11]], np.float32),
]


def objects(items: list) -> np.ndarray:
    """A one-dimensional array of Python objects, also where the items have equal shapes."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _matlab(boxes: np.ndarray) -> np.ndarray:
    """y1 x1 y2 x2, counted from 1, both ends included."""
    x1, y1, x2, y2 = boxes.astype(float).T
    return np.stack([y1 + 1, x1 + 1, y2, x2], axis=1)


def write(folder: Path, form: str) -> Path:
    """The boxes in one of the forms. What follows a space says which variant of it."""
    suffix, _, variant = form.partition(" ")
    path = folder / f"boxes{suffix}"
    by_name = dict(zip(NAMES, BOXES, strict=True))
    shares = [boxes / np.array([WIDTH, HEIGHT] * 2) for boxes in BOXES]
    if suffix == ".mat":
        cells = objects([_matlab(boxes) for boxes in BOXES])
        named = {"images": objects(list(NAMES))[:, None]} if variant == "names" else {}
        scipy.io.savemat(path, {"boxes": cells[None], **named}, do_compression=True)
    elif suffix == ".npz" and variant == "walk-through":
        rois = np.concatenate([shares[1], shares[0]]).astype(np.float32)
        info = objects([{"pos_idx": np.array([2]), "neg_idx": np.array([1])}, {"idxs": [0]}])
        np.savez(path, train_imgs=np.zeros((2, 3)), train_img_info=info, train_roi=rois)
    elif suffix == ".npz":
        np.savez(path, **by_name)
    elif suffix == ".npy":
        np.save(path, objects(shares), allow_pickle=True)
    elif suffix == ".json":
        entries = [
            {"image": f"x/{name}.png", "boxes": boxes.tolist()} for name, boxes in by_name.items()
        ]
        lists = {name: boxes.tolist() for name, boxes in by_name.items()}
        path.write_text(json.dumps(entries if variant == "records" else lists))
    elif variant == "walk-through":  # x2 and y2 included
        value = {"boxes": [0, 0], "selective_search_boxes": [b - [0, 0, 1, 1] for b in BOXES]}
        path.write_bytes(pickle.dumps(value | {"image_name": [f"{name}.jpg" for name in NAMES]}))
    else:
        path.write_bytes(pickle.dumps(BOXES, int(variant)))
    return path


FORMS = [
    *(".mat", ".mat names", ".npz", ".npz walk-through", ".npy", ".json", ".json records"),
    *(".pkl walk-through", ".pkl 0", ".pkl 2", ".pkl 5"),
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_boxes(form, tmp_path):
    source = ProposalFile(write(tmp_path, form), PICTURES)
    for picture, expected in zip(PICTURES, BOXES, strict=True):
        found = source.boxes(picture, HEIGHT, WIDTH)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, abs=1e-4)
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        assert np.array_equal(source.search(picture)(image), found)
        assert np.array_equal(source.get(annotation(picture)), found)


def annotation(picture: Path) -> Annotation:
    none = np.zeros(0)
    return Annotation(picture.stem, picture, WIDTH, HEIGHT, none.reshape(0, 4), none, none)


@pytest.mark.parametrize("form", [".mat", ".npy", ".json"])
def test_a_folder_has_a_file_for_each_picture(form, tmp_path):
    for name, boxes in zip(NAMES, BOXES, strict=True):
        if form == ".mat":
            scipy.io.savemat(tmp_path / f"{name}.mat", {"boxes": _matlab(boxes)})
        elif form == ".npy":
            np.save(tmp_path / name, boxes)
        else:
            (tmp_path / f"{name}.json").write_text(json.dumps(boxes.tolist()))
    (tmp_path / "notes.txt").write_text("other files do not matter")
    source = ProposalFile(tmp_path, PICTURES)
    assert list(source.fill(map(annotation, PICTURES))) == [None, None]
    for picture, expected in zip(PICTURES, BOXES, strict=True):
        assert np.array_equal(source.boxes(picture, HEIGHT, WIDTH), expected)


def test_names_that_come_twice_and_folders_with_files_of_many_pictures_are_told(tmp_path):
    path = tmp_path / f"{NAMES[0]}.json"
    path.write_text(json.dumps([{"image": f"{k}/1.jpg", "boxes": []} for k in "ab"]))
    with pytest.raises(DataError, match="picture 1 twice"):
        ProposalFile(path, PICTURES)
    path.write_text(json.dumps({"1": [[0, 0, 9, 9]], "2": [[0, 0, 9, 9]]}))
    with pytest.raises(DataError, match="four numbers"):
        ProposalFile(tmp_path, PICTURES).boxes(PICTURES[0], HEIGHT, WIDTH)


@pytest.mark.parametrize("ending", ["", ".jpg", ".PNG"])
@pytest.mark.parametrize("suffix", [".npz", ".json", ".mat"])
def test_dots_are_part_of_a_name(suffix, ending, tmp_path):
    pictures = [Path(f"images/IMG_1_jpg.rf.{digest}.jpg") for digest in ("0a1b2c", "3d4e5f")]
    path = tmp_path / f"boxes{suffix}"
    named = {f"{item.stem}{ending}": boxes for item, boxes in zip(pictures, BOXES, strict=True)}
    if suffix == ".npz":
        np.savez(path, **named)
    elif suffix == ".json":
        path.write_text(json.dumps({name: boxes.tolist() for name, boxes in named.items()}))
    else:
        cells = objects([_matlab(boxes) for boxes in BOXES])
        scipy.io.savemat(path, {"boxes": cells, "images": objects([*named])}, do_compression=True)
    source = ProposalFile(path, pictures)
    for picture, expected in zip(pictures, BOXES, strict=True):
        assert np.array_equal(source.boxes(picture, HEIGHT, WIDTH), expected)


def test_a_picture_without_a_proposal_has_an_empty_list(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({NAMES[0]: []}))
    assert ProposalFile(path, PICTURES).boxes(PICTURES[0], HEIGHT, WIDTH).shape == (0, 4)


def test_boxes_a_rounding_beyond_the_picture_are_cut_to_it(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({NAMES[0]: [[-0.4, 0, 80.7, 60]]}))
    assert ProposalFile(path, PICTURES).boxes(PICTURES[0], HEIGHT, WIDTH).tolist() == [
        [0, 0, 80, 60]
    ]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 20]], "four numbers"),
        ("cat", "four numbers"),
        ([[5, 5, 5, 9]], "x1 < x2"),
        ([[0, 0, 9, 9], [0, 0, 99, 9]], "box 2 .* not inside the picture of 80 x 60"),
        ([[0, 0, 9, 75]], "not inside"),
        ([[-3, 0, 9, 9]], "not inside"),
        ([[0, 0, float("nan"), 9]], "finite"),
    ],
)
def test_boxes_that_cannot_be_are_told(boxes, message, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({NAMES[0]: boxes, NAMES[1]: [[0, 0, 9, 9]]}))
    with pytest.raises(DataError, match=message):
        ProposalFile(path, PICTURES).boxes(PICTURES[0], HEIGHT, WIDTH)


def test_without_names_there_must_be_as_many_as_pictures(tmp_path):
    with pytest.raises(DataError, match="2 sets of boxes for 1 pictures"):
        ProposalFile(write(tmp_path, ".mat"), PICTURES[:1])
    assert ProposalFile(write(tmp_path, ".mat names"), PICTURES[:1])
    with pytest.raises(DataError, match="Two pictures have the name 000005"):
        ProposalFile(write(tmp_path, ".npz"), [*PICTURES, Path("other/000005.png")])
    with pytest.raises(DataError, match="no boxes of the picture other"):
        ProposalFile(write(tmp_path, ".npz"), PICTURES).boxes(Path("other.jpg"), HEIGHT, WIDTH)


class Bomb:
    """Makes a folder when a usual unpickler reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["boxes.pkl", "boxes.npy", "boxes.npz"])
def test_code_in_a_file_is_refused_and_does_not_run(name, tmp_path):
    path, bomb = tmp_path / name, [Bomb(tmp_path / "made")]
    if name == "boxes.pkl":
        path.write_bytes(pickle.dumps(bomb))
    elif name == "boxes.npy":
        np.save(path, objects(bomb), allow_pickle=True)
    else:
        np.savez(path, train_roi=np.zeros((1, 4)), train_img_info=objects(bomb))
    with pytest.raises(DataError, match=r"mkdir, and only plain arrays"):
        ProposalFile(path, PICTURES)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_told_in_one_sentence(form, tmp_path):
    path = write(tmp_path, form)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole[: random.integers(len(whole))])
        for place in random.integers(0, max(len(broken), 1), 3 if len(broken) else 0):
            broken[place] ^= 1 << random.integers(8)
        path.write_bytes(broken)
        try:
            source = ProposalFile(path, PICTURES)
            for picture in PICTURES:
                assert source.boxes(picture, HEIGHT, WIDTH).shape[1:] == (4,)
        except DataError as error:
            assert str(path) in str(error) and len(str(error).splitlines()) == 1


def test_other_files_and_missing_ones_are_told(tmp_path):
    with pytest.raises(DataError, match=r"boxes.txt is not a file of proposals; its name must end"):
        ProposalFile(tmp_path / "boxes.txt", PICTURES)
    for name in ("nosuch.json", "nosuch.mat", "nosuch.npz", "nosuch.pkl"):
        with pytest.raises(DataError, match=f"There is no file .*{name}; give proposals"):
            ProposalFile(tmp_path / name, PICTURES)


@pytest.mark.parametrize("suffix", ["", ".npz"])
def test_a_name_that_no_file_can_have_is_told_in_one_sentence(suffix, tmp_path):
    with pytest.raises(DataError, match=r"^\S*xxx\S* .*\.$"):
        ProposalFile(tmp_path / f"{'x' * 300}{suffix}", PICTURES)


def test_a_folder_that_cannot_be_read_is_told_in_one_sentence(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"^\S+ cannot be read: Permission denied\.$"):
        ProposalFile(tmp_path, PICTURES)


def test_without_scipy_it_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path, ".mat")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingPackageError, match="pip install scipy"):
        ProposalFile(path, PICTURES)


def test_the_word_dense_is_no_file():
    assert isinstance(open_proposals(Path("dense"), PICTURES), DenseBoxes)
