import math

import numpy as np
import pytest

from fastrcnn.evaluation.recall import proposal_recall
from tests.evaluation.test_average_precision import NO_BOXES, A, B, C, annotation


def test_proposal_recall_by_hand():
    annotations = [
        annotation("1", (A, 1), (B, 1), (C, 2, True)),
        annotation("2", (A, 2)),
        annotation("3"),
    ]
    half_b = [20, 20, 40, 29]  # IoU 0.45 with B
    proposals = [
        np.array([half_b, A, A, [0, 0, 10, 9]], np.float32),
        np.array([[0, 0, 10, 6], [0, 0, 10, 8]], np.float32),  # IoU 0.6 and 0.8 with A
        NO_BOXES,
    ]
    quality = proposal_recall(proposals, annotations)
    assert quality.recall == pytest.approx(2 / 3)
    assert quality.mean_best_overlap == pytest.approx(((1 + 0.45) / 2 + 0.8) / 2)
    # The mean of the recalls. A is reached up to 1 in the first picture, up to 0.8 in the second.
    steps = np.linspace(0.5, 1, 2001)
    by_threshold = [proposal_recall(proposals, annotations, iou=step).recall for step in steps]
    assert quality.average_recall == pytest.approx(np.mean(by_threshold), abs=1e-3)
    assert quality.average_recall == pytest.approx((1 + 0 + 0.6) / 3)
    assert quality.boxes == pytest.approx(2)
    first = proposal_recall(proposals, annotations, limit=1)
    assert first.recall == pytest.approx(1 / 3)
    assert first.mean_best_overlap == pytest.approx(((0 + 0.45) / 2 + 0.6) / 2)
    assert proposal_recall(proposals, annotations, iou=0.4).recall == 1


def test_proposal_recall_without_proposals_or_objects():
    assert proposal_recall([NO_BOXES], [annotation("1", (A, 1))]) == (0, 0, 0, 0)
    nothing = proposal_recall([np.array([A], np.float32)], [annotation("1", (A, 1, True))])
    assert math.isnan(nothing.recall)
    assert nothing.boxes == 1
    with pytest.raises(ValueError, match=r"zip\(\)"):
        proposal_recall([], [annotation("1", (A, 1))])
