"""SVMs on fc7: hard negatives find what all negatives would, and the result is a usual detector."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from fastrcnn.detector import Detector
from fastrcnn.errors import MissingPackageError
from fastrcnn.evaluation.average_precision import score_detections
from fastrcnn.images import load_image
from fastrcnn.model import load_checkpoint, save_checkpoint
from fastrcnn.training import build_model, svm
from fastrcnn.training.svm import Svm, fc7_features, train_svms
from tests.training.tiny import CLASSES, PICTURES, Proposals, dataset, painted


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return painted(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def model():
    return build_model(PICTURES.but(fc6=64, fc7=64), CLASSES).eval()


@pytest.fixture(scope="module")
def trained(model, pictures):
    return train_svms(model, pictures, Proposals())


def test_hard_negatives_give_the_svm_that_all_negatives_would(monkeypatch):
    monkeypatch.setattr(svm, "_NEW", 100)
    random = np.random.default_rng(0)
    positives = random.normal(1.0, 1, (60, 5)).astype(np.float32)
    negatives = random.normal(-1.0, 1, (6000, 5)).astype(np.float32)
    mined = Svm(positives, scale=3.0)
    for _ in range(2):  # what was easy before an SVM had seen much may be hard after
        for part in np.array_split(negatives, 40):
            mined.mine(part)
    mined.learn()
    assert len(mined.negatives) < len(negatives) / 2
    everything = LinearSVC(
        C=0.001,
        loss="hinge",
        class_weight={1: 2, 0: 1},
        intercept_scaling=10.0,
        random_state=0,
        max_iter=100_000,
    )
    both = np.concatenate([positives, negatives])
    everything.fit(both * 3.0, np.arange(len(both)) < len(positives))
    expected = everything.decision_function(both * 3.0)
    margins = mined.margins(both)
    assert np.corrcoef(margins, expected)[0, 1] > 0.999
    # One pass is not quite enough: what was easy at first may be hard in the end.
    assert margins == pytest.approx(expected, abs=0.45 * expected.std())


def test_fc7_features_are_what_the_last_layers_are_given(model, pictures):
    annotation = pictures[0]
    boxes = Proposals().get(annotation)[:30]
    features = torch.from_numpy(fc7_features(model, annotation, boxes))
    trace = Detector(model, precision="float32").trace(load_image(annotation.path), boxes=boxes)
    scores = model.head.cls_score(features).softmax(dim=1)
    assert torch.allclose(scores, trace.probabilities, atol=1e-5)
    assert not model.head.cls_score._forward_pre_hooks


def test_svms_are_saved_and_used_like_any_detector(trained, model, pictures, tmp_path):
    path = tmp_path / "svm.safetensors"
    save_checkpoint(path, trained)
    detector = Detector(load_checkpoint(path)[0], precision="float32")
    assert detector.model.config.classifier == "svm" and model.config.classifier == "softmax"
    annotation = pictures[0]
    boxes = Proposals().get(annotation)
    trace = detector.trace(load_image(annotation.path), boxes=boxes, score_threshold=0.01)
    margins = (
        torch.from_numpy(fc7_features(model, annotation, boxes)) @ (trained.head.cls_score.weight.T)
        + trained.head.cls_score.bias
    )
    assert torch.allclose(trace.probabilities, margins.sigmoid(), atol=1e-5)
    assert (trace.probabilities[:, 0] < 1e-8).all()  # no SVM is the background's


def test_svms_on_random_features_already_find_coloured_rectangles(trained, model, pictures):
    def mean_ap(network) -> float:
        detector = Detector(network, precision="float32")
        found = {
            item.image_id: detector.trace(
                load_image(item.path), boxes=Proposals().get(item), score_threshold=0.0
            ).detections
            for item in pictures
        }
        return score_detections(found, pictures).map_area

    assert mean_ap(trained) > mean_ap(model) + 0.1


def test_a_class_without_objects_and_difficult_objects_are_not_learned(model, pictures):
    without = [replace(item, labels=np.ones_like(item.labels)) for item in pictures]
    one_class = replace(pictures, annotations=tuple(without))
    made = train_svms(model, one_class, Proposals())
    assert not made.head.cls_score.weight[2].any() and made.head.cls_score.bias[2] < -10
    assert made.head.cls_score.weight[1].any()
    difficult = [replace(item, difficult=np.ones_like(item.difficult)) for item in pictures]
    nothing = train_svms(model, replace(pictures, annotations=tuple(difficult)), Proposals())
    assert not nothing.head.cls_score.weight.any()


def test_what_overlaps_an_object_of_the_class_is_no_negative():
    annotation = dataset(1)[0]
    boxes = np.concatenate([annotation.boxes, [[0, 0, 1, 1]]]).astype(np.float32)
    for label in (1, 2):
        own = annotation.labels == label
        negatives = svm._negatives(annotation, boxes, label)
        assert negatives[-1] and not negatives[:-1][own].any()
    assert svm._negatives(annotation, boxes, 3).all()


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    one = Svm(np.ones((1, 2), np.float32), 1.0)
    one.mine(np.zeros((3, 2), np.float32))
    with pytest.raises(MissingPackageError, match="pip install scikit-learn"):
        one.learn()
