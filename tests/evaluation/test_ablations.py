from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.errors import ImageError
from fastrcnn.evaluation.ablations import ablate, drawn_mean_ap
from fastrcnn.evaluation.average_precision import match, score_detections
from fastrcnn.model import FastRCNN, ModelConfig, Resize, compress
from tests.proposals.test_segments import picture

CLASSES = ("cat", "dog")


class Proposals:
    """The same boxes for every picture, more than one variant looks at."""

    def __init__(self) -> None:
        corners = np.random.default_rng(0).uniform(0, 60, (1200, 2))
        self.boxes = np.concatenate([corners, corners + 40], axis=1).astype(np.float32)

    def get(self, annotation: Annotation) -> np.ndarray:
        return self.boxes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("pictures")
    annotations = []
    for number in range(4):
        path = folder / f"{number}.png"
        Image.fromarray(picture(number, 100, 120)).save(path)
        random = np.random.default_rng(number)
        corners = random.uniform(0, 50, (3, 2))
        boxes = np.concatenate([corners, corners + 45], axis=1).astype(np.float32)
        labels = np.array([1, 2, 1 + number % 2])
        difficult = np.array([False, False, number == 3])
        annotations.append(Annotation(str(number), path, 120, 100, boxes, labels, difficult))
    return Dataset("made up", CLASSES, tuple(annotations))


@pytest.fixture(scope="module")
def model() -> FastRCNN:
    torch.manual_seed(0)
    config = ModelConfig(
        classes=CLASSES, backbone="small", fc6=16, fc7=16, resize=Resize(shorter=64, longer=96)
    )
    made = FastRCNN(config)
    with torch.no_grad():  # so that it has an opinion
        made.head.cls_score.weight.mul_(60 / made.head.cls_score.weight.std())
        made.head.bbox_pred.weight.mul_(5 / made.head.bbox_pred.weight.std())
        made.head.bbox_std.fill_(0.1)
    return made


def test_each_row_is_what_evaluating_that_detector_gives(dataset, model):
    detector = Detector(model, precision="float32")
    boxes = Proposals()
    same = FastRCNN(model.config)
    same.load_state_dict(model.state_dict())
    rows = {
        (row.table, row.variant): row
        for row in ablate(
            detector, dataset, boxes, {"itself": Detector(same, None, "fast", "float32")}
        )
    }

    def score(network: FastRCNN = model, count: int = 2000, **settings) -> float:
        other = Detector(network, precision="float32")
        found = {
            item.image_id: other.trace(
                item.path, boxes=boxes.boxes[:count], **({"score_threshold": 0.01} | settings)
            ).detections
            for item in dataset
        }
        return score_detections(found, dataset).map_area

    def with_settings(**settings) -> FastRCNN:
        changed = FastRCNN(model.config.but(**settings))
        changed.load_state_dict(model.state_dict())
        return changed

    standard = score()
    expected = {
        ("", "as it is"): standard,
        ("other detectors", "itself"): standard,
        ("box regression", "off"): score(with_settings(bbox_reg=False)),
        ("box voting", "off"): score(vote_threshold=None),
        ("box regression and voting", "off"): score(
            with_settings(bbox_reg=False), vote_threshold=None
        ),
        ("proposals", "at most 300"): score(count=300),
        ("proposals", "at most 1000"): score(count=1000),
        ("proposals", "at most 4000"): standard,
        **{
            ("score threshold", f"{least:g}"): score(score_threshold=least)
            for least in (0.001, 0.05, 0.1, 0.5)
        },
        ("RoI pooling", "walkthrough"): score(with_settings(pooling="walkthrough")),
        ("RoI pooling", "align"): score(with_settings(pooling="align")),
        **{
            ("truncated SVD", f"{name} of rank {rank}"): score(
                compress(model, **({"fc6_rank": None, "fc7_rank": None} | {f"{name}_rank": rank}))
            )
            for name in ("fc6", "fc7")
            for rank in (8, 4)
        },
    }
    assert rows.keys() == expected.keys()
    for key, value in expected.items():
        assert rows[key].mean_ap == pytest.approx(value), key
        assert rows[key].difference == pytest.approx(value - standard, abs=1e-12)
    assert len({round(value, 6) for value in expected.values()}) > 6
    for key in (("", "as it is"), ("other detectors", "itself")):
        assert rows[key].difference == rows[key].error == 0
    assert rows["proposals", "at most 300"].error > 0
    assert rows["score threshold", "0.5"].boxes < rows["score threshold", "0.001"].boxes


@pytest.mark.parametrize("times", [[1, 1, 1, 1], [2, 0, 1, 3], [0, 0, 4, 0]])
def test_a_picture_drawn_twice_is_one_that_is_there_twice(dataset, times):
    random = np.random.default_rng(1)
    found = {}
    for item in dataset:
        boxes = np.repeat(item.boxes, 2, axis=0) + random.normal(0, 9, (6, 4)).astype(np.float32)
        scores = np.sort(random.random(6, np.float32))[::-1]
        found[item.image_id] = Detections(boxes, scores, np.repeat(item.labels, 2), CLASSES)
    drawn, drawn_found = [], {}
    for item, count in zip(dataset, times, strict=True):
        for copy in range(count):
            drawn.append(replace(item, image_id=f"{item.image_id} {copy}"))
            drawn_found[drawn[-1].image_id] = found[item.image_id]
    matches = [match(found, dataset, label) for label in (1, 2)]
    expected = score_detections(drawn_found, replace(dataset, annotations=tuple(drawn))).map_area
    assert drawn_mean_ap(matches, dataset, np.array(times)) == pytest.approx(expected)
    assert 0 < expected < 1


def test_others_alone_get_the_rows_that_they_get_beside_the_changes(dataset, model):
    detector, other = Detector(model, precision="float32"), FastRCNN(model.config)
    others = {"another": Detector(other, None, "fast", "float32")}
    few = ablate(detector, dataset, Proposals(), others, only_others=True)
    assert [row.variant for row in few] == ["as it is", "another"]
    assert few == ablate(detector, dataset, Proposals(), others)[:2]


def test_where_nothing_is_drawn_that_counts_there_is_no_score(dataset):
    nothing = {item.image_id: _nothing() for item in dataset}
    matches = [match(nothing, dataset, label) for label in (1, 2)]
    assert np.isnan(drawn_mean_ap(matches, dataset, np.zeros(4, int)))
    assert drawn_mean_ap(matches, dataset, np.ones(4, int)) == 0


def _nothing() -> Detections:
    return Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), CLASSES
    )


def test_a_dataset_of_nothing_but_paths_that_are_not_there_is_told(tmp_path, dataset, model):
    missing = replace(dataset, annotations=(replace(dataset[0], path=Path(tmp_path / "no.png")),))
    with pytest.raises(ImageError, match=r"no\.png"):
        ablate(Detector(model), missing, Proposals())
