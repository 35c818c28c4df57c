"""Proposals from elsewhere: files of other programs, and dense boxes in place of a search.

- ``.mat``: ``boxes``, a cell for each picture, as the paper's code reads selective search's: y1 x1
  y2 x2 in pixels counted from 1, both ends included. ``images`` has the pictures' names.
- ``.npz``, ``.npy``, ``.pkl``: an array (R, 4) for each picture, by its name or in the pictures'
  order. The walk-through's own ``train.npz`` and ``test.npz`` are read too.
- ``.json``: what ``python -m fastrcnn proposals --json`` writes, a list of such, or lists by name.
- a folder: a file of any of these kinds for each picture, with the picture's name.

Except in ``.mat``, boxes are x1 y1 x2 y2 in pixels of the picture, x2 and y2 exclusive. If no
number of a picture is above 1, they are shares of its width and height, as the walk-through stores
them. No file can run code. SciPy reads ``.mat``, and checks only files that are compressed, as
MATLAB writes them.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from fastrcnn.data.dataset import Annotation
from fastrcnn.data.json_fields import read_json
from fastrcnn.errors import DataError, FastRCNNError, MissingPackageError, reason, shown
from fastrcnn.images import FORMATS
from fastrcnn.proposals.dense import DenseBoxes
from fastrcnn.proposals.plain_pickle import read_plain

DENSE = "dense"

# The first of each that a file has is used.
_BOXES = ("selective_search_boxes", "boxes")
_NAMES = ("images", "image_name", "ids", "indexes")
_BEYOND = 1.0  # pixels that a box may reach beyond its picture, where programs round differently


def open_proposals(path: Path, pictures: Sequence[Path]) -> ProposalFile | DenseBoxes:
    """The proposals at `path`; the word ``dense`` stands for dense boxes. See `ProposalFile`."""
    return DenseBoxes() if str(path) == DENSE else ProposalFile(path, pictures)


class ProposalFile:
    """A file or folder of proposals, as a source for training and detecting.

    path: see the module. pictures: the pictures' files in order, for files without names. Raises
    DataError, also from the methods, if something cannot be used; MissingPackageError for a
    ``.mat`` file if scipy is not installed.
    """

    def __init__(self, path: Path, pictures: Sequence[Path]) -> None:
        self.path = path
        self._boxes: dict[str, Any] = {}
        self._files: dict[str, Path] = {}
        stems = [item.stem for item in dict.fromkeys(pictures)]
        if double := _double(stems):
            raise DataError(
                f"Two pictures have the name {double}, which {path} cannot tell apart; rename one."
            )
        if (files := _in_folder(path)) is not None:
            self._files = {item.stem: files[item.stem] for item in pictures if item.stem in files}
            return
        found = _read(path)
        names = stems if found.names is None else found.names
        if len(names) != len(found.boxes):
            raise DataError(
                f"{path} has {len(found.boxes)} sets of boxes for {len(names)} pictures; use the "
                "pictures that it was made for, or a file with names."
            )
        if double := _double(names):
            raise DataError(f"{path} has boxes of the picture {double} twice.")
        self._boxes = dict(zip(names, found.boxes, strict=True))

    def boxes(self, picture: Path, height: int, width: int) -> np.ndarray:
        """The proposals of a picture of this size, (R, 4) float32, in the file's order."""
        where = f"{self.path}, boxes of {picture.stem}"
        if picture.stem in self._files:
            entries = _read(self._files[picture.stem]).boxes
            entry = entries[0] if len(entries) == 1 else entries
        elif picture.stem in self._boxes:
            entry = self._boxes[picture.stem]
        else:
            raise DataError(f"{self.path} has no boxes of the picture {picture.stem}.")
        boxes = _array(entry)
        if boxes is None:
            raise DataError(f"{where}: they are {shown(entry)}; wanted four numbers a box.")
        if len(boxes) and boxes.max() <= 1:
            boxes = boxes * np.array([width, height] * 2, np.float32)
        _check(boxes, where, height, width)
        return boxes.clip(0, [width, height] * 2).astype(np.float32)

    def get(self, annotation: Annotation) -> np.ndarray:
        """The proposals of this picture, (R, 4) float32."""
        return self.boxes(annotation.path, annotation.height, annotation.width)

    def search(self, picture: Path) -> Callable[[np.ndarray], np.ndarray]:
        """A search for a `Detector` that is given this picture."""
        return lambda image: self.boxes(picture, *image.shape[:2])

    def fill(self, annotations: Iterable[Annotation], workers: int = 1) -> Iterator[None]:
        """Check the boxes of every picture. Yields once per picture, to show progress."""
        for annotation in annotations:
            self.get(annotation)
            yield


def _double(names: Sequence[str]) -> str | None:
    """A name that comes more than once."""
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if count > 1 else None


class Contents(NamedTuple):
    """What a file holds: boxes for each picture, and the pictures' names if it has them."""

    names: list[str] | None
    boxes: list[Any]


def _check(boxes: np.ndarray, where: str, height: int, width: int) -> None:
    if not np.isfinite(boxes).all():
        raise DataError(f"{where}: not every number is finite.")
    x1, y1, x2, y2 = boxes.T
    if (empty := np.flatnonzero((x2 <= x1) | (y2 <= y1))).size:
        raise DataError(
            f"{where}: box {empty[0] + 1} is {shown(boxes[empty[0]].tolist())}; wanted x1 y1 x2 y2 "
            "with x1 < x2 and y1 < y2."
        )
    outside = (boxes.min(axis=1, initial=0) < -_BEYOND) | (x2 > width + _BEYOND)
    if (outside := np.flatnonzero(outside | (y2 > height + _BEYOND))).size:
        raise DataError(
            f"{where}: box {outside[0] + 1} is {shown(boxes[outside[0]].tolist())}, which is not "
            f"inside the picture of {width} x {height}."
        )


def _array(value: Any) -> np.ndarray | None:
    """Boxes as (R, 4) float64, or None if the value is something else."""
    try:
        boxes = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    return boxes if boxes.ndim == 2 and boxes.shape[1] == 4 else None


def _in_folder(path: Path) -> dict[str, Path] | None:
    """The files of proposals in a folder by their pictures' names; None if it is no folder."""
    try:
        if not path.is_dir():
            return None
        return {item.stem: item for item in path.iterdir() if item.suffix in _READERS}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error


def _read(path: Path) -> Contents:
    if path.suffix not in _READERS:
        raise DataError(
            f"{path} is not a file of proposals; its name must end in {', '.join(_READERS)}."
        )
    try:
        # SciPy would say something else of a missing file.
        if not path.exists():
            raise DataError(
                f"There is no file {path}; give proposals, a folder of them, or 'dense'."
            )
        return _contents(_READERS[path.suffix](path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    except FastRCNNError:
        raise
    # NumPy, SciPy and pickle raise errors of many kinds for a damaged file.
    except Exception as error:
        raise DataError(f"{path} is not a file of proposals: {reason(error)}.") from error


def _contents(value: Any) -> Contents:
    """Find the pictures in what a file holds."""
    if isinstance(value, Mapping):
        key = next((key for key in _BOXES if key in value), None)
        if key is None:
            return _walkthrough(value) or Contents([*map(_stem, value)], [*value.values()])
        if "image" in value:  # as the command `proposals` writes it
            return Contents([_stem(value["image"])], [value[key]])
        boxes = [value[key]] if _array(value[key]) is not None else [*value[key]]
        if key == "selective_search_boxes":  # the walk-through's, which includes x2 and y2
            boxes = [np.asarray(item) + np.array([0, 0, 1, 1]) for item in boxes]
        names = next((value[name] for name in _NAMES if name in value), None)
        return Contents(None if names is None else [_stem(name) for name in names], boxes)
    if _array(value) is not None:
        return Contents(None, [value])
    items = [*value]
    if all(isinstance(item, Mapping) for item in items):
        return Contents([_stem(item["image"]) for item in items], [item["boxes"] for item in items])
    return Contents(None, items)


def _walkthrough(value: Mapping[str, Any]) -> Contents | None:
    """The walk-through's ``train.npz`` or ``test.npz``: all RoIs, and which are each picture's."""
    for split in ("train", "test"):
        if f"{split}_roi" in value and f"{split}_img_info" in value:
            rois, boxes = value[f"{split}_roi"], []
            for info in value[f"{split}_img_info"]:
                parts = [info[key] for key in ("idxs", "pos_idx", "neg_idx") if key in info]
                boxes.append(rois[np.sort(np.concatenate(parts)).astype(np.int64)])
            return Contents(None, boxes)
    return None


def _stem(name: Any) -> str:
    """A picture's name without folder and ending. Other dots are part of it."""
    path = Path(str(name))
    is_picture = Image.registered_extensions().get(path.suffix.lower()) in FORMATS
    return path.stem if is_picture else path.name


def _mat(path: Path) -> Mapping[str, Any]:
    try:
        import scipy.io
    except ImportError as error:
        raise MissingPackageError("Reading a .mat file", "scipy") from error
    found = scipy.io.loadmat(path, variable_names=["boxes", "images"])
    cells = found["boxes"].ravel() if found["boxes"].dtype == object else [found["boxes"]]
    # From y1 x1 y2 x2, counted from 1 and x2, y2 included, to x1 y1 x2 y2 from 0 and exclusive.
    value: dict[str, Any] = {
        "boxes": [cell.reshape(-1, 4)[:, [1, 0, 3, 2]] - [1.0, 1, 0, 0] for cell in cells]
    }
    if "images" in found:
        value["images"] = [np.ravel(name)[0] for name in found["images"].ravel()]
    return value


class _Archive(Mapping[str, Any]):
    """The arrays of an ``.npz`` file, each read when it is used: some are very large."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self._names = [name.removesuffix(".npy") for name in self._zip.namelist()]

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        with self._zip.open(f"{name}.npy") as file:
            return _load_array(file)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _npy(path: Path) -> Any:
    with path.open("rb") as file:
        return _load_array(file)


def _load_array(file: IO[bytes]) -> Any:
    """An array in NumPy's format. What NumPy pickles inside is read as other pickles are."""
    start = file.tell()
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    _, _, kind = read_header(file)
    if kind.hasobject:
        return read_plain(file)
    file.seek(start)
    return np.lib.format.read_array(file, allow_pickle=False)


def _pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return read_plain(file)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".mat": _mat,
    ".npz": _Archive,
    ".npy": _npy,
    ".json": lambda path: read_json(path).value,
    ".pkl": _pickle,
}
