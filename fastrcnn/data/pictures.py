"""Which pictures of a data set can be used: where their files may lie, and leaving out bad ones."""

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

# Told of each picture that is left out, and why. Without one, the first bad picture is raised.
OnBad = Callable[[FastRCNNError], None]


def file_within(folder: Path, name: str, wanted: str) -> Path:
    """``folder / name``, which must be a file, and in `folder` also when links are followed.

    The folder itself may be a link. wanted: what names the file, the error's subject. Raises
    DataError, for names that no file can have too.
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
    """Around the reading of one picture: a DataError is told to `on_bad` where there is one."""
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

    on_bad: is told of each other one. progress: wraps the pictures as they are gone through. In a
    group of processes each reads its share, and all get the same data set and tell of the same.
    Raises DataError where none is left.
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

    Raises ImageError or DataError where it is not what its annotation says.
    """
    image = load_image(annotation.path)
    check_size(annotation, *image.shape[:2])
    return image


def check_size(annotation: Annotation, height: int, width: int) -> None:
    """Raises DataError where a picture is not of its annotation's size, so that boxes are off."""
    if (height, width) != (annotation.height, annotation.width):
        raise DataError(
            f"{annotation.path} is {width} x {height} pixels, but its annotation says "
            f"{annotation.width} x {annotation.height}."
        )
