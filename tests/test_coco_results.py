"""The files that other tools read: pycocotools reads ours, and scores them as we do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fastrcnn.cli import main
from fastrcnn.data import VOC_CLASSES, Annotation, Dataset, read_coco
from fastrcnn.data.coco import coco_image_ids
from fastrcnn.detections import Detections, coco_results
from fastrcnn.detector import Detector
from fastrcnn.evaluation.average_precision import COCO_THRESHOLDS, match, score_detections
from tests.conftest import draw_shapes

CLASSES = ("cat", "dog", "cow")
CATEGORY_IDS = (5, 17, 90)
CELL = 100


@pytest.fixture(autouse=True)
def _tiny_by_default(monkeypatch, tiny_checkpoint):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))


def write_coco(dataset: Dataset, path: Path) -> None:
    document = {
        "images": [
            {
                "id": int(item.image_id),
                "file_name": item.path.name,
                "width": item.width,
                "height": item.height,
            }
            for item in dataset
        ],
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(dataset.category_ids, dataset.classes, strict=True)
        ],
        "annotations": [],
    }
    for item in dataset:
        for label, (x1, y1, x2, y2) in zip(item.labels, item.boxes.tolist(), strict=True):
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": int(item.image_id),
                    "category_id": dataset.category_ids[label - 1],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    path.write_text(json.dumps(document))


def scenes(count: int) -> tuple[Dataset, dict[str, Detections]]:
    """Objects far from each other; some are found well, some badly, some twice, some not at all.

    No detection overlaps two objects: that is where COCO's matching differs from VOC's.
    """
    random = np.random.default_rng(0)
    annotations, found = [], {}
    for number in range(count):
        corners = np.array([(x, y) for x in range(4) for y in range(3)]) * CELL
        random.shuffle(corners)
        sizes = random.integers(30, 80, (12, 2))
        boxes = np.concatenate([corners + 10, corners + 10 + sizes], axis=1).astype(np.float32)
        labels = random.integers(1, 4, 12)
        objects = random.integers(0, 9)  # the cells after these are empty
        image_id = str(number * 7 + 1)
        annotations.append(
            Annotation(
                image_id=image_id,
                path=Path(f"{image_id}.jpg"),
                width=4 * CELL,
                height=3 * CELL,
                boxes=boxes[:objects],
                labels=labels[:objects],
                difficult=np.zeros(objects, bool),
            )
        )
        chosen = random.integers(0, 12, 14)
        moved = boxes[chosen] + random.normal(0, 2, (14, 4)).round(2)
        scores = random.permutation(10_000)[:14] / 10_000
        order = np.argsort(-scores)
        found[image_id] = Detections(
            moved[order].astype(np.float32),
            scores[order].astype(np.float32),
            labels[chosen][order],
            CLASSES,
        )
    return Dataset("scenes", CLASSES, tuple(annotations), CATEGORY_IDS), found


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Dataset, dict[str, Detections], COCOeval]:
    dataset, found = scenes(60)
    folder = tmp_path_factory.mktemp("coco")
    write_coco(dataset, folder / "truth.json")
    numbers = coco_image_ids(dataset)
    results = [
        result
        for image_id, number in numbers.items()
        for result in coco_results(found[image_id], number, dataset.category_ids)
    ]
    (folder / "results.json").write_text(json.dumps(results))
    truth = COCO(str(folder / "truth.json"))
    judge = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    return dataset, found, judge


def test_pycocotools_judges_every_detection_as_we_do(judged):
    dataset, found, judge = judged
    precision = judge.eval["precision"][..., 0, 2]  # (10, 101, K-1): any area, 100 a picture
    assert 0.1 < precision.mean() < 0.9
    for index in range(len(CLASSES)):
        matches = match(found, dataset, index + 1)
        for threshold, theirs in zip(COCO_THRESHOLDS, precision[..., index], strict=True):
            hits, _ = matches.judged(threshold)
            recall = np.cumsum(hits) / matches.positives
            exact = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            steps = [exact[recall >= step].max(initial=0) for step in judge.params.recThrs]
            np.testing.assert_allclose(theirs, steps, atol=1e-6)


def test_our_area_under_the_curve_is_near_coco_s_101_samples_of_it(judged):
    dataset, found, judge = judged
    ours = score_detections(found, dataset)
    precision = judge.eval["precision"][..., 0, 2]
    assert ours.map_coco == pytest.approx(precision.mean(), abs=0.01)
    assert ours.map_area == pytest.approx(precision[0].mean(), abs=0.01)


def check_form(results: list[dict]) -> None:
    for result in results:
        assert result.keys() == {"image_id", "category_id", "bbox", "score"}
        assert type(result["image_id"]) is int and type(result["category_id"]) is int
        x, y, width, height = result["bbox"]
        assert x >= 0 and y >= 0 and width > 0 and height > 0
        assert 0 < result["score"] <= 1


def labelled(results: list[dict], categories: dict[int, str], images: dict[int, str]) -> list:
    """As FiftyOne's documentation says that it reads them: each finds its picture and its class."""
    return [(images[item["image_id"]], categories[item["category_id"]]) for item in results]


def test_detect_numbers_photographs_and_classes_from_1(photo, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    target = tmp_path / "found.json"
    assert main(["detect", str(photo), str(bad), str(photo), "--coco", str(target)]) == 1
    results = json.loads(target.read_text())
    check_form(results)
    found = Detector.from_checkpoint()(photo)
    # FiftyOne looks for the photograph and the class in these places, counted from 1.
    assert [item["image_id"] for item in results] == [1] * len(found) + [3] * len(found)
    images, classes = {1: "first", 3: "third"}, dict(enumerate(VOC_CLASSES, start=1))
    pictures, names = zip(*labelled(results, classes, images), strict=True)
    assert names == (*found.names, *found.names)
    assert pictures == ("first",) * len(found) + ("third",) * len(found)
    for item, (_, score, (x1, y1, x2, y2)) in zip(results, [*found, *found], strict=True):
        assert item["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.01)
        assert item["score"] == pytest.approx(score, abs=1e-5)
    assert "found in" in capsys.readouterr().out


def test_standard_output_gets_the_results_alone(photo, capsys):
    assert main(["detect", str(photo), "--coco", "-"]) == 0
    check_form(json.loads(capsys.readouterr().out))
    assert main(["detect", str(photo), "--coco", "-", "--json", "-"]) == 1
    assert "cannot both be -" in capsys.readouterr().err
    assert main(["detect", str(photo), "--coco", "nosuch/found.json"]) == 1
    assert "folder does not exist" in capsys.readouterr().err


def test_evaluate_writes_the_ids_of_the_coco_file(tmp_path):
    ids = tuple(3 * number + 10 for number in range(len(VOC_CLASSES)))
    box = np.array([[20, 20, 70, 80]], np.float32)
    annotations = []
    for number in (397133, 42):
        path = tmp_path / f"{number}.png"
        Image.fromarray(draw_shapes()).save(path)
        annotations.append(
            Annotation(str(number), path, 160, 120, box, np.array([8]), np.array([False]))
        )
    truth = tmp_path / "truth.json"
    write_coco(Dataset("truth", VOC_CLASSES, tuple(annotations), ids), truth)
    assert read_coco(truth).category_ids == ids
    target = tmp_path / "found.json"
    assert main(["evaluate", "--data", str(truth), "--coco", str(target)]) == 0
    results = json.loads(target.read_text())
    check_form(results)
    assert {item["image_id"] for item in results} == {397133, 42}
    document = json.loads(truth.read_text())
    categories = {item["id"]: item["name"] for item in document["categories"]}
    files = {item["id"]: item["file_name"] for item in document["images"]}
    found = Detector.from_checkpoint()
    for number, name in files.items():
        own = [item for item in results if item["image_id"] == number]
        best = found(tmp_path / name, score_threshold=0.01).first(3)
        assert labelled(own, categories, files)[:3] == [(name, label) for label in best.names]
    loaded = COCO(str(truth)).loadRes(str(target))
    assert len(loaded.getAnnIds()) == len(results)


def test_evaluate_numbers_the_pictures_of_a_voc_folder_by_their_names(voc, tmp_path):
    target = tmp_path / "found.json"
    assert main(["evaluate", "--data", str(voc), "--coco", str(target)]) == 0
    results = json.loads(target.read_text())
    check_form(results)
    assert {item["image_id"] for item in results} == {1, 2}


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("000005", "000012"), (5, 12)),
        (("2008_000008", "2008_000015"), (2008000008, 2008000015)),
        (("-3", "7"), (-3, 7)),
        (("7", "kitten"), (1, 2)),
        (("07", "7"), (1, 2)),
        (("", "7"), (1, 2)),
    ],
)
def test_pictures_are_numbered_by_their_names_or_their_places(names, numbers):
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    pictures = tuple(Annotation(name, Path(f"{name}.jpg"), 9, 9, *nothing) for name in names)
    dataset = Dataset("some", CLASSES, pictures)
    assert coco_image_ids(dataset) == dict(zip(names, numbers, strict=True))
