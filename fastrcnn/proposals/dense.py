"""Dense boxes: every place, size and shape, without a look at the picture (paper, section 5.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from fastrcnn.data.dataset import Annotation

# A side has one of these shares of the picture's side: nine lengths, each 0.7 of the one before.
_SHARES = 0.7 ** np.arange(9)
# Neighbouring boxes lie at most this share of their side apart. That gives 45 thousand boxes, as
# many as in the paper.
_STEP = 0.224


def dense_boxes(image: np.ndarray) -> np.ndarray:
    """About 45,000 boxes over a (H, W, 3) picture: (R, 4) float32 xyxy in its pixels.

    Every interval of the width goes with every interval of the height. The order is random but
    always the same, so the first N boxes are a sample of all of them.

    >>> dense_boxes(np.zeros((375, 500, 3), np.uint8)).shape
    (44944, 4)
    """
    return _boxes(*image.shape[:2])


def _boxes(height: int, width: int) -> np.ndarray:
    intervals = np.concatenate([_intervals(share) for share in _SHARES])  # (I, 2), start and end
    columns, rows = (index.ravel() for index in np.indices((len(intervals), len(intervals))))
    # (R, 2, 2): x1 and y1, then x2 and y2.
    boxes = np.stack([intervals[columns] * width, intervals[rows] * height], axis=2)
    order = np.random.default_rng(0).permutation(len(boxes))
    return boxes.reshape(-1, 4)[order].astype(np.float32)


class DenseBoxes:
    """Dense boxes as a source for training and detecting. They are made when they are needed."""

    def get(self, annotation: Annotation) -> np.ndarray:
        """The boxes for a picture of this size, (R, 4) float32."""
        return _boxes(annotation.height, annotation.width)

    def search(self, picture: Path) -> Callable[[np.ndarray], np.ndarray]:
        """A search for a `Detector`, the same for every picture."""
        return dense_boxes

    def fill(self, annotations: Iterable[Annotation], workers: int = 1) -> Iterator[None]:
        """Nothing has to be made ahead. Yields once per picture, as other sources do."""
        for _ in annotations:
            yield


def _intervals(share: float) -> np.ndarray:
    """Intervals of this length that cover the whole from 0 to 1, (I, 2)."""
    room = 1 - share
    starts = np.linspace(0, room, 1 + int(room / (share * _STEP)))
    return np.stack([starts, starts + share], axis=1)
