"""Code that was written for torchvision's detectors, on this one."""

from __future__ import annotations

import contextlib
import io
from functools import cache

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.ops import box_convert
from torchvision.transforms.functional import to_tensor
from torchvision.utils import draw_bounding_boxes

from fastrcnn.data.shapes import CLASSES, draw_shapes
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError, ImageError, RecipeError
from fastrcnn.model import FastRCNN
from fastrcnn.model.backbone import build_backbone
from fastrcnn.torchvision_style import TorchvisionStyle
from fastrcnn.training import SHAPES, multi_task_loss

pytestmark = pytest.mark.system

RECIPE = SHAPES.but(fc6=64, fc7=64, rois_per_batch=64)


@cache
def scenes(count: int = 3) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    images, targets = [], []
    for number in range(count):
        picture, boxes, labels = draw_shapes(number)
        images.append(to_tensor(picture))
        targets.append(
            {
                "boxes": torch.from_numpy(boxes),
                "labels": torch.from_numpy(labels),
                "image_id": number,
            }
        )
    return images, targets


def around_the_objects(picture: np.ndarray) -> np.ndarray:
    """Boxes that a search would find, and some more, without the time of a search."""
    (objects,) = (
        target["boxes"].numpy()
        for image, target in zip(*scenes(), strict=True)
        if np.array_equal((image.numpy() * 255).round().transpose(1, 2, 0), picture)
    )
    random = np.random.default_rng(len(objects))
    near = objects[random.integers(len(objects), size=80)]
    return near + random.normal(0, 6, near.shape).astype(np.float32)


def new_model(search=around_the_objects, recipe=RECIPE) -> TorchvisionStyle:
    torch.manual_seed(0)
    network = FastRCNN(RECIPE.network_config(CLASSES), build_backbone("small"))
    network.head.bbox_std.fill_(0.2)
    return TorchvisionStyle(Detector(network, search=search), recipe)


@pytest.fixture(scope="module")
def trained() -> tuple[TorchvisionStyle, list[float]]:
    """After the training step of torchvision's references, again and again; and its losses."""
    model = new_model()
    images, targets = scenes()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    losses = []
    model.train()
    for _ in range(60):
        loss_dict = model(images, targets)
        loss = sum(loss for loss in loss_dict.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model.eval(), losses


def test_a_training_loop_of_torchvisions_lowers_the_losses(trained):
    _, losses = trained
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_pycocotools_finds_what_was_learned(trained):
    """The evaluation of torchvision's references: results by image id, boxes as x y w h."""
    model, _ = trained
    images, targets = scenes()
    outputs = [{k: v.cpu() for k, v in output.items()} for output in model(images)]
    found = {target["image_id"]: out for target, out in zip(targets, outputs, strict=True)}
    results = [
        {"image_id": image_id, "category_id": int(label), "bbox": box, "score": float(score)}
        for image_id, output in found.items()
        for box, label, score in zip(
            box_convert(output["boxes"], "xyxy", "xywh").tolist(),
            output["labels"],
            output["scores"],
            strict=True,
        )
    ]
    truth = {
        "images": [{"id": target["image_id"]} for target in targets],
        "categories": [{"id": label} for label in range(1, len(CLASSES) + 1)],
        "annotations": [],
    }
    for target in targets:
        boxes = box_convert(target["boxes"], "xyxy", "xywh").tolist()
        for box, label in zip(boxes, target["labels"].tolist(), strict=True):
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": target["image_id"],
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluated = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    assert evaluated.stats[1] > 0.5  # AP at IoU 0.5


def test_both_modes_give_what_torchvisions_own_detectors_give(trained):
    model, _ = trained
    torch.manual_seed(0)
    theirs = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    images, targets = scenes(2)
    wanted, losses = (other.train()(images, targets) for other in (theirs, model))
    assert losses.keys() <= wanted.keys()
    for name, loss in losses.items():
        assert (loss.shape, loss.dtype) == (wanted[name].shape, wanted[name].dtype)
        assert loss.requires_grad and loss >= 0
    with torch.no_grad():
        expected, found = (other.eval()(images) for other in (theirs, model))
    for one, other in zip(found, expected, strict=True):
        assert list(one) == ["boxes", "labels", "scores"] and one.keys() == other.keys()
        for name, part in one.items():
            assert (part.dtype, part.ndim) == (other[name].dtype, other[name].ndim)
    best = found[0]
    assert best["scores"].tolist() == sorted(best["scores"].tolist(), reverse=True)
    assert best["labels"].min() >= 1 and best["scores"].min() >= 0.05
    names = [CLASSES[label - 1] for label in best["labels"]]
    pixels = (images[0] * 255).byte()
    assert (draw_bounding_boxes(pixels, best["boxes"], names) != pixels).any()


def test_the_detections_are_the_detectors_own(trained):
    model, _ = trained
    picture, _, _ = draw_shapes(1)
    (found,) = model([to_tensor(picture)])
    detector = Detector(model.model, search=around_the_objects)
    own = detector(picture, score_threshold=0.05)
    assert found["boxes"].tolist() == own.boxes.tolist()
    assert found["labels"].tolist() == own.labels.tolist()
    fewer = TorchvisionStyle(detector, RECIPE, max_proposals=1, nms_threshold=0.9).eval()
    expected = detector(picture, score_threshold=0.05, max_proposals=1, nms_threshold=0.9)
    (found,) = fewer([to_tensor(picture)])
    assert found["boxes"].tolist() == expected.boxes.tolist() != own.boxes.tolist()


def test_the_losses_are_those_of_the_network_for_the_same_rois(monkeypatch):
    """Two pictures of different sizes, each alone through the network."""
    model = new_model()
    model.eval()
    images, targets = scenes(2)
    parts = []
    sampled = TorchvisionStyle._sampled

    def spy(self, picture, target):
        parts.append((picture, *sampled(self, picture, target)))
        return parts[-1][1:]

    monkeypatch.setattr(TorchvisionStyle, "_sampled", spy)
    model.training = True  # without dropout, of which there is none here
    losses = model(images, targets)
    scores, labels, deltas = [], [], []
    for picture, boxes, found in parts:
        resized, (sx, sy) = model.model.config.resize.resize(picture)
        rois = boxes * torch.tensor([sx, sy, sx, sy])
        scores.append(model.model(model.model.backbone.preprocess(resized), [rois]))
        labels.append(found.labels)
        deltas.append(found.deltas / 0.2)
    cls_score, bbox_pred = (torch.cat(part) for part in zip(*scores, strict=True))
    expected = multi_task_loss(cls_score, bbox_pred, torch.cat(labels), torch.cat(deltas))
    torch.testing.assert_close(losses["loss_classifier"], expected.cls)
    torch.testing.assert_close(losses["loss_box_reg"], expected.loc)


def test_a_picture_without_objects_is_background():
    model = new_model()
    images, _ = scenes(1)
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(images, [empty])
    assert losses["loss_classifier"] > 0 and losses["loss_box_reg"] == 0


def test_without_bbox_reg_only_the_classes_are_learned():
    model = new_model(recipe=RECIPE.but(bbox_reg=False))
    losses = model(*scenes(1))
    assert losses["loss_box_reg"] == 0
    sum(losses.values()).backward()
    head = model.model.head
    assert head.cls_score.weight.grad.any() and head.bbox_pred.weight.grad is None


def test_the_seed_decides_which_rois_are_drawn():
    model = new_model()
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(model(*scenes())["loss_classifier"].item())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("search", ["single", lambda picture: np.array([[0, 0, 90, 90]])])
def test_any_search_will_do(search):
    model = new_model(search)
    images, targets = scenes(1)
    assert model(images, targets)["loss_classifier"] > 0


def test_what_has_another_form_is_refused_in_a_sentence():
    model = new_model()
    images, targets = scenes(1)
    with pytest.raises(DataError, match="a target for each image"):
        model(images)
    with pytest.raises(ImageError, match=r"\(3, H, W\) tensor of floats"):
        model([(images[0] * 255).byte()], targets)
    with pytest.raises(ImageError, match=r"\(3, H, W\) tensor of floats"):
        model([images[0][None]], targets)
    flat = {"boxes": torch.tensor([[5.0, 5, 5, 9]]), "labels": torch.tensor([1])}
    with pytest.raises(DataError, match="x1 < x2"):
        model(images, [flat])
    with pytest.raises(RecipeError, match="no layer 'conv3_1'"):
        TorchvisionStyle(model._detector)
    with pytest.raises(RecipeError, match="Hard examples"):
        new_model(recipe=RECIPE.but(foreground_candidates=64, background_candidates=64))
    with pytest.raises(DataError, match="give images"):
        model([], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": None}, "must have tensors"),
        ({"labels": None}, "must have tensors"),
        ({"boxes": torch.tensor([5.0, 5, 9, 9])}, "must have tensors"),
        ({"labels": torch.zeros(0, dtype=torch.int64)}, "must have tensors"),
        ({"labels": torch.tensor(1)}, "must have tensors"),
        ({"labels": torch.tensor([0])}, "must be 1 to 6"),
        ({"labels": torch.tensor([7])}, "must be 1 to 6"),
    ],
)
def test_a_target_of_another_form_is_refused_in_a_sentence(changes, message):
    good = {"boxes": torch.tensor([[5.0, 5, 60, 60]]), "labels": torch.tensor([1])}
    target = {name: part for name, part in (good | changes).items() if part is not None}
    with pytest.raises(DataError, match=message):
        new_model()(scenes(1)[0], [target])
