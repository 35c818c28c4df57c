"""What each variant finds is what a detector that is built in that way finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastrcnn.data import Dataset
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.evaluation.variants import (
    UNCHANGED,
    Variant,
    ablations,
    changed_networks,
    detect_variants,
    rank,
)
from fastrcnn.images import load_image
from fastrcnn.model import FastRCNN, Resize, compress
from fastrcnn.proposals.dense import dense_boxes
from tests.evaluation.scene import boxes, opinionated, pictures


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def model() -> FastRCNN:
    return opinionated()


def alone(network: FastRCNN, image: np.ndarray, proposals: np.ndarray, **settings) -> Detections:
    """What a detector finds that knows nothing of variants. Without voting unless told so."""
    detector = Detector(network, precision="float32")
    settings = {"score_threshold": 0.01, "nms_threshold": 0.3, "vote_threshold": None} | settings
    found = detector.trace(image, boxes=proposals, max_proposals=len(proposals), **settings)
    return found.detections


def same_weights(model: FastRCNN, **settings) -> FastRCNN:
    changed = FastRCNN(model.config.but(**settings))
    changed.load_state_dict(model.state_dict())
    return changed


def assert_same(found: Detections, expected: Detections) -> None:
    assert found.names == expected.names and len(found)
    assert found.scores == pytest.approx(expected.scores, abs=1e-5)
    assert found.boxes == pytest.approx(expected.boxes, abs=1e-2)


def test_each_ablation_is_what_that_detector_finds(dataset, model):
    image, all_boxes = load_image(dataset[0].path), boxes()
    networks = changed_networks(Detector(model, precision="float32"))
    variants = ablations(networks)
    found = detect_variants(networks, variants, image, all_boxes)
    voting = {"nms_threshold": 0.35, "vote_threshold": 0.5}
    expected = {
        "as it is": alone(model, image, all_boxes, **voting),
        "box regression: off": alone(
            same_weights(model, bbox_reg=False), image, all_boxes, **voting
        ),
        "box voting: off": alone(model, image, all_boxes, nms_threshold=0.35),
        "box regression and voting: off": alone(
            same_weights(model, bbox_reg=False), image, all_boxes, nms_threshold=0.35
        ),
        **{
            f"score threshold: {least:g}": alone(
                model, image, all_boxes, score_threshold=least, **voting
            )
            for least in (0.001, 0.05, 0.1, 0.5)
        },
        **{
            f"RoI pooling: {name}": alone(
                same_weights(model, pooling=name), image, all_boxes, **voting
            )
            for name in ("walkthrough", "align")
        },
        **{
            f"truncated SVD: {name} of rank {lower}": alone(
                compress(model, **({"fc6_rank": None, "fc7_rank": None} | {f"{name}_rank": lower})),
                image,
                all_boxes,
                **voting,
            )
            for name in ("fc6", "fc7")
            for lower in (8, 4)
        },
    }
    assert found.keys() == expected.keys()
    for name, detections in expected.items():
        assert_same(found[name].detections, detections)
    assert len({tuple(item.scores.round(5)) for item in expected.values()}) >= 8


def test_variants_look_at_as_many_boxes_as_they_say(dataset, model):
    image, all_boxes = load_image(dataset[1].path), boxes(300)
    variants = {
        "few": Variant(proposals=20),
        "more than there are": Variant(proposals=5000),
        "dense": Variant(proposals=0, dense=50),
        "both": Variant(proposals=30, dense=40),
    }
    networks = {UNCHANGED: Detector(model, precision="float32")}
    found = detect_variants(networks, variants, image, all_boxes)
    dense = dense_boxes(image)
    for name, looked_at in (
        ("few", all_boxes[:20]),
        ("more than there are", all_boxes),
        ("dense", dense[:50]),
        ("both", np.concatenate([all_boxes[:30], dense[:40]])),
    ):
        assert_same(found[name].detections, alone(model, image, looked_at))
        assert found[name].seconds > 0


def test_a_network_of_another_scale_has_maps_of_its_own(dataset, model):
    image, all_boxes = load_image(dataset[2].path), boxes(50)
    larger = same_weights(model, resize=Resize(shorter=96, longer=160))
    networks = {UNCHANGED: model, "larger": larger}
    detectors = {name: Detector(one, precision="float32") for name, one in networks.items()}
    variants = {name: replace(Variant(), network=name) for name in networks}
    found = detect_variants(detectors, variants, image, all_boxes)
    for name, one in networks.items():
        assert_same(found[name].detections, alone(one, image, all_boxes))


def test_the_rank_of_a_layer_is_that_of_its_svd(model):
    assert rank(model.head, "fc7") == 16
    assert rank(compress(model, None, 5).head, "fc7") == 5
