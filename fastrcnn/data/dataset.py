"""A data set and its annotated pictures, the same for all file formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from fastrcnn.errors import DataError


@dataclass(frozen=True, eq=False)
class Annotation:
    """One picture and its G ground-truth objects.

    image_id: unique in the data set.
    path: the picture's file; width, height: its size in pixels.
    boxes: (G, 4) float32 xyxy in pixels of the picture, x2 and y2 exclusive, inside the picture.
    labels: (G,) int64, 1 ... K-1; ``classes[label - 1]`` of the data set is the name.
    difficult: (G,) bool, objects that scoring ignores: a detector may find them or miss them.
    part: the number of the joined data set that the picture comes from, counted from 0.
    """

    image_id: str
    path: Path
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    part: int = 0


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Annotation]):
    """Annotated pictures in a fixed order; a slice of one is a data set too.

    classes: the K-1 class names, without the background. category_ids: the numbers of the classes
    in a COCO file; empty for other formats.
    Raises DataError when there is no picture or when two share an id.
    """

    name: str
    classes: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    category_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.annotations:
            raise DataError(f"{self.name} has no pictures.")
        image_id, count = Counter(item.image_id for item in self.annotations).most_common(1)[0]
        if count > 1:
            raise DataError(f"{self.name} lists the picture {image_id} {count} times, not once.")

    def __len__(self) -> int:
        return len(self.annotations)

    @overload
    def __getitem__(self, index: int) -> Annotation: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Annotation | Dataset:
        if isinstance(index, slice):
            return replace(self, annotations=self.annotations[index])
        return self.annotations[index]


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Several data sets as one, such as VOC2007 and VOC2012. A single one stays as it is.

    The classes keep the order of the first data set. A picture's id gets the name of its data set
    in front, or a number if two data sets have the same name, so that all ids differ. Raises
    DataError if the sets do not name the same classes: an object that only some of them annotate
    would be background in the others.
    """
    first = datasets[0]
    if len(datasets) == 1:
        return first
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        names = [str(number) for number in range(1, len(names) + 1)]
    annotations: list[Annotation] = []
    for part, (name, dataset) in enumerate(zip(names, datasets, strict=True)):
        if odd := sorted(set(dataset.classes) ^ set(first.classes)):
            raise DataError(
                f"{first.name} and {dataset.name} cannot be joined: only one of them has the class "
                f"{odd[0]!r}."
            )
        # labels[k] is what this set's class k is in the first one; 0 stays background.
        labels = np.array([0, *(first.classes.index(name) + 1 for name in dataset.classes)])
        annotations += [
            replace(item, image_id=f"{name}/{item.image_id}", labels=labels[item.labels], part=part)
            for item in dataset
        ]
    title = " + ".join(dataset.name for dataset in datasets)
    return Dataset(title, first.classes, tuple(annotations), first.category_ids)
