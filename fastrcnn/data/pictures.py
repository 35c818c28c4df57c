"""Checks the pictures of a data set: where their files may lie, and which to leave out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastrcnn.data.dataset import Annotation, Dataset
from fastrcnn.errors import DataError, FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.runtime import distributed

# Called with the error of each picture that is left out. If it is None, the first error is raised.
OnBad = Callable[[FastRCNNError], None]


def file_within(folder: Path, name: str, wanted: str) -> Path:
    """``folder / name``, which must be a file, and lie in `folder` even after links are followed.

    The folder itself may be a link. wanted: the thing that names the file, used as the subject of
    the error. Raises DataError, also for names that no file can have.
    """
    path = folder / name
    try:
        if not path.is_file():
            raise DataError(f"{wanted}, {path} does not exist.")
        real, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
        if ".." in Path(name).parts or not real.is_relative_to(root):
            raise DataError(
                f"{wanted}, {path} lies outside {folder}; move the file into that folder."
            )
    except OSError as error:  # a name that is too long, a link to itself
        raise DataError(f"{wanted}, {name[:60]!r} cannot be read: {error.strerror}.") from error
    return path


@contextmanager
def left_out(on_bad: OnBad | None) -> Iterator[None]:
    """Put around the reading of one picture: passes a DataError to `on_bad`, if it is given."""
    try:
        yield
    except DataError as error:
        if on_bad is None:
            raise
        on_bad(error)


def without_bad_pictures(
    dataset: Dataset,
    on_bad: OnBad,
    progress: Callable[[Sequence[Annotation]], Iterable[Annotation]] = iter,
) -> Dataset:
    """The pictures that can be decoded and are as large as their annotation says.

    on_bad: is called for each of the others. progress: wraps the loop over the pictures. In a group
    of processes each reads its share, and all get the same data set and report the same pictures.
    Raises DataError if no picture is left.
    """
    share = slice(distributed.rank(), None, distributed.world_size())
    mine = {}
    for annotation in progress(dataset.annotations[share]):
        try:
            load_annotated(annotation)
        except FastRCNNError as error:
            mine[annotation.image_id] = error
    bad: dict[str, FastRCNNError] = {}
    for part in distributed.gather_objects(mine):
        bad |= part
    for annotation in dataset:
        if annotation.image_id in bad:
            on_bad(bad[annotation.image_id])
    good = tuple(item for item in dataset if item.image_id not in bad)
    if not good:
        first = bad[dataset[0].image_id]
        raise DataError(f"{dataset.name} has no picture that can be used; of the first: {first}")
    return replace(dataset, annotations=good)


def load_annotated(annotation: Annotation) -> np.ndarray:
    """The picture, (H, W, 3) uint8 RGB.

    Raises ImageError or DataError if it does not fit its annotation.
    """
    image = load_image(annotation.path)
    check_size(annotation, *image.shape[:2])
    return image


def check_size(annotation: Annotation, height: int, width: int) -> None:
    """Raises DataError if a picture's size differs from its annotation: boxes would be off."""
    if (height, width) != (annotation.height, annotation.width):
        raise DataError(
            f"{annotation.path} is {width} x {height} pixels, but its annotation says "
            f"{annotation.width} x {annotation.height}."
        )
