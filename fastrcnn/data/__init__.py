"""Data sets: annotated pictures from Pascal VOC folders, from COCO JSON, or drawn by ourselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fastrcnn.data.coco import read_coco
from fastrcnn.data.dataset import Annotation, Dataset, join
from fastrcnn.data.pictures import OnBad, without_bad_pictures
from fastrcnn.data.shapes import draw_shapes, draw_shapes_set, write_shapes
from fastrcnn.data.voc import VOC_CLASSES, download_voc2007, read_voc
from fastrcnn.errors import DataError, reason

__all__ = [
    "READERS",
    "VOC_CLASSES",
    "Annotation",
    "Dataset",
    "Reader",
    "download_voc2007",
    "draw_shapes",
    "draw_shapes_set",
    "join",
    "open_dataset",
    "open_datasets",
    "read_coco",
    "read_voc",
    "without_bad_pictures",
    "write_shapes",
]


def open_dataset(path: str | Path, split: str, on_bad: OnBad | None = None) -> Dataset:
    """Opens the data set at `path` with the first of READERS that knows its format.

    A folder with ``ImageSets/Main`` is Pascal VOC, and each ``NAME.txt`` in there is a split. In
    any other folder the split's COCO JSON is searched under its usual names. A file is COCO JSON
    with one split. on_bad: is called for each picture that cannot be used, which is then left out.
    Raises DataError if there is none of these or it cannot be read, and the errors of the readers.
    """
    path = Path(path)
    try:
        for read in READERS:
            if (dataset := read(path, split, on_bad)) is not None:
                return dataset
        is_folder = path.is_dir()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    if not is_folder:
        raise DataError(f"There is no data set at {path}: no such file or folder.")
    *names, last = _coco_names(split)
    raise DataError(
        f"{path} is neither a VOC folder, which has ImageSets/Main, nor one with COCO JSON for the "
        f"split {split!r}, which would be {', '.join(names)} or {last}."
    )


def open_datasets(paths: Sequence[str | Path], split: str, on_bad: OnBad | None = None) -> Dataset:
    """Opens the data sets at several paths as one, such as VOC2007 and VOC2012. See `join`.

    Raises DataError as `join` and `open_dataset` do.
    """
    return join([open_dataset(path, split, on_bad) for path in paths])


def _voc_folder(path: Path, split: str, on_bad: OnBad | None) -> Dataset | None:
    is_voc = (path / "ImageSets" / "Main").is_dir()
    return read_voc(path, split, on_bad=on_bad) if is_voc else None


def _coco_json(path: Path, split: str, on_bad: OnBad | None) -> Dataset | None:
    for file in [path, *(path / name for name in _coco_names(split))]:
        if file.is_file():
            return read_coco(file, on_bad=on_bad)
    return None


def _coco_names(split: str) -> list[str]:
    return [
        f"{split}.json",
        f"instances_{split}.json",
        f"annotations/{split}.json",
        f"annotations/instances_{split}.json",
        f"{split}/_annotations.coco.json",
    ]


# Tried in this order. A reader returns None if the path holds another format. Put your own reader
# before these, because they take every file for COCO JSON.
Reader = Callable[[Path, str, OnBad | None], Dataset | None]
READERS: list[Reader] = [_voc_folder, _coco_json]
