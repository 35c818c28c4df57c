"""What the command line and the page say of a picture, as plain values ready for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
