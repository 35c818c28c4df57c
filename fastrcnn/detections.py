"""The answer for one picture: class-scored, box-regressed detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """D detections, best first.

    boxes: (D, 4) float32 xyxy in pixels of the picture, x2 and y2 exclusive.
    scores: (D,) float32, the softmax probability of the class (paper, section 2.2).
    labels: (D,) int64, 1 ... K-1; 0 is the background and never appears.
    classes: the K-1 class names; ``classes[label - 1]`` is a detection's name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.classes[label - 1] for label in self.labels]

    def first(self, count: int) -> Detections:
        """The best `count` of them."""
        return Detections(
            self.boxes[:count], self.scores[:count], self.labels[:count], self.classes
        )

    def above(self, score: float) -> Detections:
        """Those with at least this score."""
        keep = self.scores >= score
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep], self.classes)

    def to_list(self) -> list[dict]:
        """Plain values, ready for JSON: ``[{"label", "score", "box": [x1, y1, x2, y2]}, ...]``."""
        return [
            {
                "label": name,
                "score": round(float(score), 5),
                "box": [round(float(value), 2) for value in box],
            }
            for name, score, box in zip(self.names, self.scores, self.boxes, strict=True)
        ]
