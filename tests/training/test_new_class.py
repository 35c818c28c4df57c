"""A taught class: only its own rows change, and it is found on other pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fastrcnn.boxes import iou
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError, RecipeError
from fastrcnn.training.new_class import NEW_CLASS, Taught, learn_new_class, with_new_class
from fastrcnn.training.targets import label_proposals
from tests.model.tiny import noisy_ramp, tiny_model

RECIPE = NEW_CLASS.but(iterations=30)


def boxes_around(objects: np.ndarray, seed: int) -> np.ndarray:
    """Proposals near the objects and anywhere."""
    random = np.random.default_rng(seed)
    near = np.repeat(objects, 8, axis=0) + random.normal(0, 4, (8 * len(objects), 4))
    corners = random.uniform(0, 50, (60, 2))
    anywhere = np.concatenate([corners, corners + random.uniform(6, 30, (60, 2))], axis=1)
    every = np.concatenate([near, anywhere])
    every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 2)
    return every.astype(np.float32)


def painted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture with one or two pink rectangles."""
    shift = seed % 7
    objects = np.array([[10, 12, 40, 44], [45, 5, 70, 30]][: 1 + seed % 2], np.float32) + shift
    image = np.roll(noisy_ramp(), 9 * seed, axis=1)
    for x1, y1, x2, y2 in objects.astype(int):
        image[y1:y2, x1:x2] = (250, 40, 200)
    return image, objects


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(tiny_model(), precision="float32")


@pytest.fixture(scope="module")
def taught(detector) -> list[Taught]:
    pictures = []
    for seed in range(3):
        image, objects = painted(seed)
        trace = detector.trace(image, boxes=boxes_around(objects, seed))
        pictures.append(Taught(trace, torch.from_numpy(objects)))
    return pictures


def test_a_wider_network_says_what_the_old_one_says_and_shares_its_tensors(detector, taught):
    wider = with_new_class(detector.model, "ball")
    assert wider.config.classes == (*detector.classes, "ball")
    trace = taught[0].trace
    again = Detector(wider, precision="float32").trace(trace.image, boxes=trace.boxes.numpy())
    old = again.probabilities[:, :-1]
    # The new class has the score of a zero; the others keep their proportions.
    torch.testing.assert_close(old / old.sum(dim=1, keepdim=True), trace.probabilities)
    assert torch.equal(again.deltas[:, :-1], trace.deltas)
    assert wider.head.fc6.weight.data_ptr() == detector.model.head.fc6.weight.data_ptr()
    assert detector.model.config.classes == ("cat", "dog", "cow")


@pytest.mark.parametrize("name", ["", "cat"])
def test_a_name_that_is_empty_or_taken_is_refused(detector, name):
    with pytest.raises(RecipeError):
        with_new_class(detector.model, name)


def test_only_the_new_rows_change(detector, taught):
    before = {name: tensor.clone() for name, tensor in detector.model.state_dict().items()}
    model = with_new_class(detector.model, "ball")
    list(learn_new_class(model, taught, RECIPE))
    for name, tensor in model.state_dict().items():
        rows = {"cls_score": 1, "bbox_pred": 4}.get(name.split(".")[1], 0)
        kept = tensor[:-rows] if rows else tensor
        assert torch.equal(kept, before[name]), name
        assert not rows or tensor[-rows:].abs().max() > 0, name
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_first_step_tells_the_loss_of_all_proposals(detector, taught):
    model = with_new_class(detector.model, "ball")
    first = next(learn_new_class(model, taught, RECIPE))
    cls, loc, of_background, of_objects = [], [], [], []
    for trace, objects in taught:
        boxes = torch.cat([objects, trace.boxes])
        probabilities, _, _ = Detector(model, precision="float32").score(trace, boxes)
        labels, deltas, _ = label_proposals(boxes, objects, torch.full((len(objects),), 4), 0.5, 0)
        for row, label, delta in zip(probabilities, labels.tolist(), deltas, strict=True):
            cls.append(-row[label].log().item())
            if label > 0:
                # The new rows are zeros, so the network predicts zeros, and nothing is normalised.
                loc.append(F.smooth_l1_loss(torch.zeros(4), delta, reduction="sum").item())
            else:
                of_background.append(row[4].item())
        of_objects += probabilities[: len(objects), 4].tolist()
    assert 0 < len(loc) < len(cls)
    assert first.loss_cls == pytest.approx(np.mean(cls), rel=1e-4)
    assert first.loss_loc == pytest.approx(sum(loc) / len(cls), rel=1e-4)
    assert first.loss == pytest.approx(first.loss_cls + first.loss_loc, rel=1e-5)
    assert first.object_score == pytest.approx(np.mean(of_objects), rel=1e-4)
    assert first.background_score == pytest.approx(max(of_background), rel=1e-4)


def test_the_same_pictures_teach_the_same(detector, taught):
    models = [with_new_class(detector.model, "ball") for _ in range(2)]
    first, second = (list(learn_new_class(model, taught, RECIPE)) for model in models)
    assert first == second and [step.iteration for step in first] == list(range(1, 31))
    assert first[-1].loss < first[0].loss


def test_a_taught_class_is_found_on_a_picture_that_was_not_learned_from(detector, taught):
    model = with_new_class(detector.model, "ball")
    # The activations of these random layers are small, so the steps are large.
    steps = list(
        learn_new_class(model, taught, RECIPE.but(lr=1.0, fg_fraction=0.5, iterations=200))
    )
    assert steps[-1].object_score > steps[0].object_score
    for seed in range(10, 16):
        image, objects = painted(seed)
        taught_detector = Detector(model, precision="float32")
        trace = taught_detector.trace(image, boxes=boxes_around(objects, seed))
        overlaps = iou(trace.boxes, torch.from_numpy(objects)).amax(dim=1)
        scores = trace.probabilities[:, -1]
        assert scores[overlaps > 0.6].mean() > 2 * scores[overlaps < 0.1].mean(), seed


def test_without_an_object_there_is_one_sentence(detector, taught):
    model = with_new_class(detector.model, "ball")
    for pictures in ([], [Taught(taught[0].trace, torch.zeros(0, 4))]):
        with pytest.raises(DataError, match="at least one object"):
            next(learn_new_class(model, pictures, RECIPE))


def test_a_picture_that_is_one_object_has_no_background_and_still_teaches(detector):
    objects = torch.tensor([[0.0, 0, 80, 64]])
    trace = detector.trace(noisy_ramp(), boxes=objects.numpy())
    model = with_new_class(detector.model, "ball")
    steps = list(learn_new_class(model, [Taught(trace, objects)], RECIPE))
    assert steps[-1].object_score > steps[0].object_score
    assert steps[-1].background_score == 0


def test_a_loss_that_is_no_number_is_one_sentence(detector, taught):
    model = with_new_class(detector.model, "ball")
    recipe = RECIPE.but(optimizer="sgd", lr=1e30, schedule="constant")
    with pytest.raises(RecipeError, match="lower lr"):
        list(learn_new_class(model, taught, recipe))
