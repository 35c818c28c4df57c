"""Experiments train what a row says, keep all of it, and go on where they were stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastrcnn.data import Dataset, open_dataset, open_datasets, write_shapes
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError
from fastrcnn.evaluation.average_precision import score_detections
from fastrcnn.evaluation.variants import Variant
from fastrcnn.images import load_image
from fastrcnn.model import load_checkpoint
from fastrcnn.paper import report
from fastrcnn.paper.estimate import seconds_left
from fastrcnn.paper.experiments import Experiments, Outcome, Setting
from fastrcnn.paper.tables import BASE, CLASSES, DENSE, EASY, STAGE_WISE, SVD, SVM, TABLES
from fastrcnn.training import RECIPES

# Learns nothing, in no time.
RECIPE = RECIPES["shapes"].but(
    iterations=2, fc6=16, fc7=16, shorter=64, longer=96, images_per_batch=1, rois_per_batch=16
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Dataset, Dataset, Dataset]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    for seed, folder in enumerate(folders):
        write_shapes(folder, seed, train=2, val=1, test=2)
    return (
        open_dataset(folders[0], "train"),
        open_datasets(folders, "train"),
        open_dataset(folders[0], "test"),
    )


def without_bars(items, label, total):
    return iter(items)


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def experiments(data, shared) -> Experiments:
    """All tests share what is trained, as the commands do."""
    setting = Setting(RECIPE, *data, shared, torch.device("cpu"), cache=shared / "cache")
    return Experiments(setting, without_bars)


def test_a_trained_detector_is_not_trained_again(experiments):
    path = experiments.train(BASE)
    written = path.stat().st_mtime_ns
    assert experiments.train(BASE) == path and path.stat().st_mtime_ns == written
    assert experiments.seconds(BASE) > 0
    _, metadata = load_checkpoint(path)
    assert metadata["recipe"]["iterations"] == 2 and metadata["data"]["train_pictures"] == 2


def test_stage_wise_changes_only_the_boxes_of_the_first_stage(experiments):
    first, second = (load_checkpoint(experiments.train(one))[0] for one in (CLASSES, STAGE_WISE))
    before, after = first.state_dict(), second.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("head.bbox") for name in changed)
    assert second.config.bbox_reg and not first.config.bbox_reg


def test_other_data_and_other_settings_have_folders_of_their_own(experiments, data, shared):
    other = Setting(RECIPE.but(seed=1), *data, shared, torch.device("cpu"))
    fewer = Setting(RECIPE, data[0][:1], *data[1:], shared, torch.device("cpu"))
    folders = {experiments.folder(one) for one in (BASE, CLASSES, STAGE_WISE, EASY, DENSE)}
    folders |= {Experiments(setting, without_bars).folder(BASE) for setting in (other, fewer)}
    assert len(folders) == 7


def test_what_was_found_is_what_the_detector_finds_also_after_a_stop(experiments, data):
    variants = {"usual": Variant(), "still": Variant(regress=False), "svd": Variant(SVD)}
    found = experiments.detect(BASE, variants)
    model, _ = load_checkpoint(experiments.train(BASE))
    detector = Detector(model, precision="float32")
    searched = experiments.searched(BASE)
    for item in data[2]:
        expected = detector.trace(
            load_image(item.path),
            boxes=searched.get(item),
            score_threshold=0.01,
            nms_threshold=0.3,
            vote_threshold=None,
        ).detections
        assert found["usual"].detections[item.image_id] == expected
    # A line cut short by a kill is found again, and the whole ones are not.
    (path,) = (path for path in experiments.folder(BASE).glob("found-*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    again = experiments.detect(BASE, variants)
    lines, before = path.read_bytes().splitlines(), whole.splitlines()
    assert lines[0] == before[0] and len(lines) == 2
    for name in variants:
        assert again[name].detections == found[name].detections


def test_a_table_is_scored_as_evaluate_would(experiments, data):
    table = TABLES["6"]("S", RECIPE)
    lines = report.run(experiments, table)
    assert [line.name for line in lines] == [row.name for row in table.rows]
    outcome = experiments.detect(
        BASE, {row.name: row.variant for row in table.rows if row.training == BASE}
    )["multi-task"]
    scored = score_detections(outcome.detections, data[2])
    last = lines[-1]
    assert (last.score.mean_ap, last.score.eleven_point) == (scored.map_area, scored.map_11point)
    assert last.difference == pytest.approx(scored.map_area - lines[0].score.mean_ap)
    assert (lines[0].difference, lines[0].error) == (0, 0)
    assert last.published == pytest.approx(0.571) and last.seconds > 0
    text = report.to_text(lines, "S")
    assert "paper S" in text and "0.571" in text and "stage-wise" in text
    json.dumps([line.to_json_dict() for line in lines], allow_nan=False)


def test_where_no_object_is_json_has_null(data):
    item = data[2][0]
    empty = replace(
        item, boxes=item.boxes[:0], labels=item.labels[:0], difficult=item.difficult[:0]
    )
    test = replace(data[2], annotations=(empty,))
    none = np.zeros(0, np.float32)
    nothing = Detections(none.reshape(0, 4), none, none.astype(np.int64), test.classes)
    (line,) = report.compare({"whole": Outcome({item.image_id: nothing}, 0.1)}, test)
    values = line.to_json_dict()
    assert values["mean_ap"] is values["mean_ap_error"] is values["difference"] is None
    json.dumps(values, allow_nan=False)


def test_table_1_has_the_papers_own_rows_and_learns_more_data(experiments):
    table = report.fitting(TABLES["1"]("L", RECIPE), experiments.setting)
    lines = report.run(experiments, table)
    # No shape is difficult, so there is nothing to leave out.
    names = ["R-CNN", "SPPnet", "Fast R-CNN, 07", "Fast R-CNN, 07+12"]
    assert [line.name for line in lines] == names
    assert lines[0].score is None and lines[0].published == 0.66
    more = TABLES["1"]("L", RECIPE).rows[-1].training
    _, metadata = load_checkpoint(experiments.folder(more) / "model.safetensors")
    assert metadata["data"]["train_pictures"] == 4


def test_svms_are_trained_once(experiments):
    found = experiments.detect(BASE, {"svm": Variant(SVM), "usual": Variant()})
    path = experiments.folder(BASE) / "svm.safetensors"
    assert load_checkpoint(path)[0].config.classifier == "svm"
    assert found["svm"].detections != found["usual"].detections


def test_average_recall_rises_with_the_boxes(experiments):
    few, many, dense = (
        report.average_recall(experiments, BASE, variant)
        for variant in (Variant(proposals=5), Variant(), Variant(proposals=0, dense=45_000))
    )
    assert 0 <= few < many <= 1 and 0 < dense < 1


def test_the_estimate_counts_what_is_left(data, tmp_path):
    setting = Setting(RECIPE.but(seed=3), *data, tmp_path, torch.device("cpu"), tmp_path / "cache")
    fresh = Experiments(setting, without_bars)
    rows = TABLES["6"]("L", RECIPE).rows
    needed = seconds_left(fresh, rows)
    longer = Experiments(
        Setting(RECIPE.but(iterations=2000), *data, tmp_path, torch.device("cpu")), without_bars
    )
    assert seconds_left(longer, rows) > 20 * needed > 0
    assert not list(tmp_path.glob("*/model.safetensors"))
    report.run(fresh, TABLES["6"]("L", RECIPE))
    assert seconds_left(fresh, rows) == 0


def test_a_detector_of_other_classes_is_told(experiments, tiny_checkpoint, tmp_path):
    detector = Detector.from_checkpoint(tiny_checkpoint)
    with pytest.raises(DataError, match="classes"):
        experiments.detect_with(
            {"": detector}, {"usual": Variant()}, experiments.searched(BASE), tmp_path, "x"
        )
