"""What the command line and the page say of a picture, as plain values ready for JSON.

In our own form, and in that of COCO's results, which pycocotools and FiftyOne read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrcnn.data import Dataset
    from fastrcnn.detections import Detections


def picture_record(
    name: str | None,
    height: int | None,
    width: int | None,
    detections: Detections,
    seconds: dict[str, float],
) -> dict:
    """One picture's entry in the list that `detect --json` writes and `load_detections` reads.

    name: the picture's file. height, width: its size in pixels. seconds: what each stage took.
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

    with the box in pixels of the picture. category_ids: the number of each class; by default the
    first class is 1, as its label is.
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


def coco_image_ids(dataset: Dataset) -> dict[str, int]:
    """The number that stands for each picture in COCO results, by its id in the data set.

    That id, where all are numbers: COCO's are, and so are VOC's names (000005 is 5, 2008_000008 is
    2008000008). Otherwise the picture's place in the data set, from 1.
    """
    names = [annotation.image_id for annotation in dataset]
    digits = [name.replace("_", "") for name in names]
    if all(text.removeprefix("-").isdecimal() for text in digits):
        numbers = {name: int(text) for name, text in zip(names, digits, strict=True)}
        if len(set(numbers.values())) == len(names):
            return numbers
    return {name: place for place, name in enumerate(names, start=1)}
