from pathlib import Path

import numpy as np
import pytest

from fastrcnn.data import VOC_CLASSES, Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.error_analysis import KINDS, missed_objects, worst_false_positives

DOG, CAT, CAR, SOFA = (VOC_CLASSES.index(name) + 1 for name in ("dog", "cat", "car", "sofa"))
A, B = (0, 0, 100, 100), (200, 0, 300, 100)
FAR = (400, 400, 500, 500)


def right(box: tuple, by: float) -> tuple:
    return box[0] + by, box[1], box[2] + by, box[3]


def dataset(*pictures: list[tuple[tuple, int, bool]]) -> Dataset:
    annotations = []
    for number, objects in enumerate(pictures):
        boxes, labels, difficult = zip(*objects, strict=True) if objects else ((), (), ())
        annotations.append(
            Annotation(
                str(number),
                Path(f"{number}.jpg"),
                1000,
                1000,
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array(labels, np.int64),
                np.array(difficult, bool),
            )
        )
    return Dataset("made up", VOC_CLASSES, tuple(annotations))


def found(*items: tuple[tuple, int, float]) -> Detections:
    boxes, labels, scores = zip(*items, strict=True) if items else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
        VOC_CLASSES,
    )


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        (right(A, 60), DOG, "localisation"),  # IoU 0.25
        (right(A, 85), DOG, "background"),  # IoU 0.08
        (A, CAT, "similar"),
        (A, SOFA, "other"),
        (B, DOG, "other"),  # on a car
        (FAR, DOG, "background"),
    ],
)
def test_each_kind_by_hand(box, label, kind):
    truth = dataset([(A, DOG, False), (B, CAR, False)])
    worst = worst_false_positives({"0": found((box, label, 0.9))}, truth)
    (wrong,) = [item for items in worst.values() for item in items]
    assert wrong.kind == kind and wrong.label == VOC_CLASSES[label - 1]
    assert wrong.score == pytest.approx(0.9) and wrong.image_id == "0"
    assert wrong.box.tolist() == list(box)


def test_a_second_detection_of_an_object_is_a_matter_of_localisation():
    truth = dataset([(A, DOG, False)])
    worst = worst_false_positives({"0": found((A, DOG, 0.9), (right(A, 5), DOG, 0.8))}, truth)
    assert [(item.kind, round(item.score, 1)) for item in worst["dog"]] == [("localisation", 0.8)]


def test_what_finds_a_difficult_object_is_no_mistake():
    truth = dataset([(A, DOG, True)])
    assert worst_false_positives({"0": found((A, DOG, 0.9))}, truth)["dog"] == []


def test_the_surest_come_first_from_all_pictures_and_no_more_than_asked():
    truth = dataset([], [], [])
    detections = {
        str(i): found(*((FAR, DOG, 0.1 * i + 0.01 * k) for k in range(1, 5))) for i in range(3)
    }
    worst = worst_false_positives(detections, truth, count=5)["dog"]
    scores = [item.score for item in worst]
    assert scores == sorted(scores, reverse=True) and len(scores) == 5
    assert [item.image_id for item in worst] == ["2", "2", "2", "2", "1"]
    assert {item.kind for item in worst} <= set(KINDS)


def test_objects_that_no_proposal_reaches():
    truth = dataset([(A, DOG, False), (B, CAT, False), (FAR, CAR, True)], [])
    proposals = [np.array([right(A, 10), right(B, 60), FAR], np.float32), np.zeros((0, 4))]
    (missed,) = missed_objects(proposals, truth, VOC_CLASSES)
    assert missed.label == "cat" and missed.share == pytest.approx(0.01)
    assert missed.best == pytest.approx(0.25)
    assert len(missed_objects(proposals, truth, VOC_CLASSES, limit=1)) == 1
    nothing = [np.zeros((0, 4)), np.zeros((0, 4))]
    assert [m.best for m in missed_objects(nothing, truth, VOC_CLASSES)] == [0.0, 0.0]
