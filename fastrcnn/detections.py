"""The answer for one picture: detections, each with its class, score and regressed box.

As plain values for JSON they have two forms: our own, and the form of COCO results, which
pycocotools and FiftyOne read.
"""

from __future__ import annotations

import io
import json
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from fastrcnn.draw import draw_detections
from fastrcnn.errors import ImageError, MissingPackageError
from fastrcnn.images import Source, load_image, save_image

if TYPE_CHECKING:
    import pandas
    import supervision

_NAMED = 5  # repr lists at most this many detections one by one


class Detection(NamedTuple):
    """One detection. score: 0 to 1. box: x1, y1, x2, y2 in pixels, x2 and y2 exclusive."""

    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Origin:
    """The picture that detections were found in, without its pixels.

    name: the file's path as it was given, or None if there was none. height, width: in pixels.
    seconds: the time of each stage of the detector. source: where the pixels can be read again: a
    file's path, or a weak reference to an array or Pillow picture, which works only while other
    code keeps that object.
    """

    name: str | None
    height: int
    width: int
    seconds: dict[str, float] = field(default_factory=dict, repr=False)
    source: Path | weakref.ref[Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, source: Source, height: int, width: int, seconds: dict[str, float]) -> Origin:
        """The origin for `source`, which was read as a picture of this size."""
        if isinstance(source, (str, Path)):
            return cls(str(source), height, width, seconds, Path(source).absolute())
        if isinstance(source, (np.ndarray, Image.Image)):
            # Evaluation keeps thousands of detections. They must not keep their pictures in memory.
            return cls(None, height, width, seconds, weakref.ref(source))
        return cls(None, height, width, seconds)

    def load(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB. Raises ImageError if it is no longer available."""
        source = self.source() if isinstance(self.source, weakref.ref) else self.source
        if source is None:
            raise ImageError("The picture is no longer at hand; give it as the argument image.")
        return load_image(source)

    def __getstate__(self) -> dict[str, Any]:
        # A weak reference cannot be sent to another process.
        kept = self.source if isinstance(self.source, Path) else None
        return vars(self) | {"source": kept}


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """D detections, best first. Equality compares boxes, scores and names, not the picture.

    boxes: (D, 4) float32 xyxy in pixels of the picture, x2 and y2 exclusive.
    scores: (D,) float32, the softmax probability of the class (paper, section 2.2).
    labels: (D,) int64, 1 ... K-1; 0 is the background and never appears.
    classes: the K-1 class names; ``classes[label - 1]`` is a detection's name.
    origin: the picture they were found in, if that is known.

    >>> found = Detections(
    ...     boxes=np.array([[10, 20, 110, 220], [0, 0, 50, 60]], np.float32),
    ...     scores=np.array([0.98, 0.75], np.float32),
    ...     labels=np.array([2, 1]),
    ...     classes=("cat", "dog"),
    ... )
    >>> found
    2 detections: dog 0.98, cat 0.75
    >>> [name for name, score, box in found if score > 0.9]
    ['dog']
    >>> found.above(0.9).to_list()
    [{'label': 'dog', 'score': 0.98, 'box': [10.0, 20.0, 110.0, 220.0]}]
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for name, score, box in zip(self.names, self.scores, self.boxes, strict=True):
            x1, y1, x2, y2 = box.tolist()
            yield Detection(name, float(score), (x1, y1, x2, y2))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        arrays = ((self.boxes, other.boxes), (self.scores, other.scores))
        return (
            all(np.array_equal(mine, theirs) for mine, theirs in arrays)
            and self.names == other.names
        )

    def __repr__(self) -> str:
        if not len(self):
            return "no detections"
        named = ", ".join(f"{name} {score:.2f}" for name, score, _ in self.first(_NAMED))
        more = f" and {len(self) - _NAMED} more" if len(self) > _NAMED else ""
        return f"{len(self)} detection{'s' * (len(self) > 1)}: {named}{more}"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the picture with the detections, if the picture is available."""
        file = io.BytesIO()
        try:
            Image.fromarray(self.draw()).save(file, "PNG")
        except ImageError:
            return None
        return file.getvalue()

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes[label - 1] for label in self.labels]

    def first(self, count: int) -> Detections:
        """The best `count` detections."""
        return self._only(slice(count))

    def above(self, score: float) -> Detections:
        """The detections with at least this score."""
        return self._only(self.scores >= score)

    def _only(self, chosen: slice | np.ndarray) -> Detections:
        return replace(
            self,
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            labels=self.labels[chosen],
        )

    def draw(self, image: Source | None = None) -> np.ndarray:
        """The picture with each detection's box, class and score, (H, W, 3) uint8 RGB.

        image: anything that `load_image` reads; by default the picture they were found in. Raises
        ImageError if that picture is no longer available, or if `image` has a different size.
        """
        if image is None:
            if self.origin is None:
                raise ImageError("It is not known which picture; give it as the argument image.")
            pixels = self.origin.load()
        else:
            pixels = load_image(image)
        height, width = pixels.shape[:2]
        if self.origin is not None and (height, width) != (self.origin.height, self.origin.width):
            raise ImageError(
                f"The picture is {width} x {height} and these were found in one of "
                f"{self.origin.width} x {self.origin.height}; give that as the argument image."
            )
        return draw_detections(pixels, self.boxes, self.labels, self.names, self.scores)

    def save(self, path: str | Path, image: Source | None = None) -> None:
        """Write the picture with the detections. The file name's ending decides the format.

        image: as for `draw`. Raises ImageError as `draw` does, or if `path` cannot be written.
        """
        save_image(path, self.draw(image))

    def to_list(self) -> list[dict]:
        """Plain values, ready for JSON: ``[{"label", "score", "box": [x1, y1, x2, y2]}, ...]``."""
        return [
            {"label": name, "score": round(score, 5), "box": [round(value, 2) for value in box]}
            for name, score, box in self
        ]

    def to_json(self) -> str:
        """The picture's entry in the list that `python -m fastrcnn detect --json` writes.

        A name or size that is not known is null.
        """
        origin = self.origin
        if origin is None:
            record = picture_record(None, None, None, self, {})
        else:
            record = picture_record(origin.name, origin.height, origin.width, self, origin.seconds)
        return json.dumps(record, allow_nan=False)

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas table, best first: name, score, x1, y1, x2, y2.

        Raises MissingPackageError if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingPackageError("to_dataframe", "pandas") from error
        table = pandas.DataFrame(self.boxes, columns=["x1", "y1", "x2", "y2"])
        table.insert(0, "name", self.names)
        table.insert(1, "score", self.scores)
        return table

    def to_supervision(self) -> supervision.Detections:
        """The same for the library supervision, with its annotators, trackers and metrics.

        ``class_id`` is the place in `classes`, from 0; ``data["class_name"]`` has the names. Raises
        MissingPackageError if supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingPackageError("to_supervision", "supervision") from error
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.labels - 1,
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )


def picture_record(
    name: str | None,
    height: int | None,
    width: int | None,
    detections: Detections,
    seconds: dict[str, float],
) -> dict:
    """One picture's entry in the list that `detect --json` writes and `load_detections` reads.

    name: the picture's file. height, width: its size in pixels. seconds: the time of each stage.
    """
    return {
        "image": name,
        "width": width,
        "height": height,
        "detections": detections.to_list(),
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
    }


def coco_results(
    detections: Detections, image_id: int, category_ids: Sequence[int] = ()
) -> list[dict]:
    """One picture's detections as COCO results: a list of

    ``{"image_id", "category_id", "bbox": [x, y, width, height], "score"}``

    with the box in pixels of the picture. category_ids: the number of each class. By default they
    are the labels: the first class is 1.
    """
    ids = category_ids or range(1, len(detections.classes) + 1)
    return [
        {
            "image_id": image_id,
            "category_id": ids[label - 1],
            "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(score, 5),
        }
        for label, (_, score, (x1, y1, x2, y2)) in zip(
            detections.labels.tolist(), detections, strict=True
        )
    ]
