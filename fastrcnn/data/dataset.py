"""What a data set says of its pictures, whatever format it came in."""

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
    difficult: (G,) bool, objects that scoring neither asks for nor counts against a detector.
    """

    image_id: str
    path: Path
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Annotation]):
    """Annotated pictures in a fixed order; a slice of one is a data set too.

    classes: the K-1 class names, without the background. category_ids: the numbers that a COCO
    file knows them by; none elsewhere.
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
