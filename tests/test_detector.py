import copy
import time

import numpy as np
import pytest
import torch
from torchvision.ops import roi_pool

from fastrcnn import boxes as box_ops
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.errors import ImageError, RecipeError
from fastrcnn.model import FastRCNN, ModelConfig, save_checkpoint
from fastrcnn.model.resize import Resize
from fastrcnn.postprocess import Selection
from fastrcnn.proposals import selective_search
from tests.host_reads import HostReads, NoDoubles, compute_as_on_a_gpu
from tests.model.tiny import tiny_model
from tests.proposals.test_segments import picture

CLASSES = ("ball", "box", "cone")


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    config = ModelConfig(classes=CLASSES, fc6=16, fc7=16, resize=Resize(shorter=96, longer=160))
    model = FastRCNN(config)
    with torch.no_grad():  # the paper's initialisation is nearly indifferent: make it speak
        model.head.cls_score.weight.mul_(100 / model.head.cls_score.weight.std())
        model.head.bbox_pred.weight.mul_(20 / model.head.bbox_pred.weight.std())
        model.head.bbox_std.fill_(0.1)
    return Detector(model, search="single", precision="float32")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return picture(5, 120, 160)


def slow_nms(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> list[int]:
    """Suppression as it is told: take the best, drop what overlaps it, go on."""
    left = sorted(range(len(scores)), key=lambda i: -scores[i].item())
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        overlap = box_ops.iou(boxes[best : best + 1], boxes)[0]
        left = [i for i in left if overlap[i] <= limit]
    return kept


def test_the_trace_is_the_networks_own_way_told_slowly(detector, scene):
    trace = detector.trace(scene, score_threshold=0.3, nms_threshold=0.4, vote_threshold=None)
    assert torch.equal(trace.boxes, torch.from_numpy(selective_search(scene, "single").boxes))

    model = detector.model
    resized, (sx, sy) = model.config.resize.resize(scene)
    with torch.no_grad():
        maps = model.backbone(model.backbone.preprocess(resized))
        rois = torch.cat(
            [torch.zeros(len(trace.boxes), 1), trace.boxes * torch.tensor([sx, sy, sx, sy])], dim=1
        )
        scores, raw = model.head(roi_pool(maps, rois, 7, 1 / 16))
    torch.testing.assert_close(trace.features, maps)
    torch.testing.assert_close(trace.probabilities, scores.softmax(dim=1), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(trace.deltas, raw * 0.1, atol=1e-4, rtol=1e-3)
    for label in range(4):
        regressed = box_ops.clip(box_ops.decode(trace.boxes, trace.deltas[:, label]), 120, 160)
        torch.testing.assert_close(trace.regressed[:, label], regressed)

    expected = []
    for label in (1, 2, 3):
        passing = (trace.probabilities[:, label] >= 0.3).nonzero().flatten()
        class_boxes = trace.regressed[passing, label]
        class_scores = trace.probabilities[passing, label]
        for i in slow_nms(class_boxes, class_scores, 0.4):
            expected.append((class_scores[i].item(), label, class_boxes[i].tolist()))
    found = trace.detections
    assert len(found) == len(expected) > 2
    assert sorted(expected, key=lambda e: (-e[0], e[1])) == [
        (score, label, box)
        for score, label, box in zip(
            found.scores.tolist(), found.labels.tolist(), found.boxes.tolist(), strict=True
        )
    ]
    assert set(trace.seconds) == {"read", "segments", "proposals", "features", "head", "nms"}


def test_bfloat16_finds_the_same_with_scores_that_hardly_differ(tiny_checkpoint, photo):
    exact, rounded = (
        Detector.from_checkpoint(tiny_checkpoint, precision=precision).trace(photo)
        for precision in ("float32", "bfloat16")
    )
    assert rounded.features.dtype == rounded.probabilities.dtype == torch.float32
    assert not torch.equal(rounded.features, exact.features)
    assert (rounded.probabilities - exact.probabilities).abs().max() < 0.03
    assert rounded.deltas.dtype == torch.float32


def test_a_detector_and_a_trace_say_what_they_are(detector, scene):
    classes, backbone = len(detector.classes), detector.model.config.backbone
    assert repr(detector).startswith(f"Detector of {classes} classes: {backbone}, search ")
    trace = detector.trace(scene)
    height, width = scene.shape[:2]
    text = f"{width} x {height} picture, {len(trace.boxes)} boxes scored, {trace.detections}"
    assert repr(trace) == text and len(text) < 200


def test_stages_come_one_by_one_and_end_with_the_trace(detector, scene):
    segments, proposals, features, detections = detector.stages(
        scene, Selection(score_threshold=0.3)
    )
    assert [s.name for s in (segments, proposals, features, detections)] == [
        *("segments", "proposals", "features", "detections")
    ]
    assert segments.segmentations and segments.proposals is None
    assert proposals.proposals is not None and proposals.features is None
    assert features.features is not None and features.trace is None
    assert not torch.is_inference_mode_enabled()
    trace = detector.trace(scene, score_threshold=0.3)
    assert detections.trace.detections.to_list() == trace.detections.to_list()
    assert detections.trace.proposals is proposals.proposals
    assert detections.trace.features is features.features
    labels = segments.segmentations[0].segments.labels
    assert detections.trace.proposals.hierarchies[0].labels is labels


def test_ones_own_boxes_are_scored_as_proposals_are(detector, scene):
    trace = detector.trace(scene)
    for ours, theirs in zip(
        detector.score(trace, trace.boxes[3:7]),
        (trace.probabilities, trace.deltas, trace.regressed),
        strict=True,
    ):
        # Four RoIs are one small matrix product, and many are large ones: processors add the
        # numbers up in another order, and logits in the hundreds then differ in their sixth digit.
        torch.testing.assert_close(ours, theirs[3:7], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooling", [None, "walkthrough", "align"])
def test_a_box_looked_at_closely_shows_every_step_of_the_network(detector, scene, pooling):
    trace = detector.trace(scene)
    for index in (0, len(trace.boxes) // 2, len(trace.boxes) - 1):
        box = trace.boxes[index]
        seen = detector.inspect(trace, box, pooling)
        sx, sy = trace.scale
        scaled = box * torch.tensor([sx, sy, sx, sy])
        torch.testing.assert_close(seen.exact, scaled / 16)
        head = detector.model.head
        with torch.no_grad():
            fc6 = head.fc6(seen.pooled.flatten() / head.divisor).relu()
            torch.testing.assert_close(seen.fc6, fc6)
            torch.testing.assert_close(seen.fc7, head.fc7(fc6).relu())
        if pooling is None:
            assert seen.pooling == "paper"
            torch.testing.assert_close(seen.probabilities, trace.probabilities[index])
            torch.testing.assert_close(seen.deltas, trace.deltas[index])
            torch.testing.assert_close(seen.regressed, trace.regressed[index], atol=1e-3, rtol=0)
        if pooling == "align":
            assert seen.cells is None and seen.argmax is None
            corners = torch.cat([seen.bins[0, 0, :2], seen.bins[-1, -1, 2:]])
            torch.testing.assert_close(corners, seen.exact)
            torch.testing.assert_close(seen.bins[2, 3, 2:], seen.bins[3, 4, :2])
            continue
        for row in range(7):
            for column in range(7):
                x1, y1, x2, y2 = seen.bins[row, column].tolist()
                if x1 >= x2 or y1 >= y2:  # beyond the map's last cell
                    assert not seen.pooled[:, row, column].any()
                    assert (seen.argmax[:, row, column] == -1).all()
                    continue
                window = trace.features[0, :, y1:y2, x1:x2]
                assert torch.equal(seen.pooled[:, row, column], window.amax(dim=(1, 2)))
                won = seen.argmax[:, row, column]
                assert torch.equal(
                    trace.features[0].flatten(1).gather(1, won[:, None])[:, 0],
                    seen.pooled[:, row, column],
                )


def test_one_box_in_half_precision_has_the_numbers_of_the_whole(tiny_checkpoint, scene):
    detector = Detector.from_checkpoint(tiny_checkpoint, precision="bfloat16")
    trace = detector.trace(scene)
    for index in range(0, len(trace.boxes), 7):
        seen = detector.inspect(trace, trace.boxes[index])
        torch.testing.assert_close(seen.probabilities, trace.probabilities[index])
        torch.testing.assert_close(seen.deltas, trace.deltas[index])


def test_an_unknown_pooling_is_refused(detector, scene):
    trace = detector.trace(scene)
    with pytest.raises(RecipeError, match="bilinear"):
        detector.inspect(trace, trace.boxes[0], "bilinear")


def test_the_score_threshold_moves_no_box(detector, scene):
    low, high = (detector(scene, score_threshold=score) for score in (0.3, 0.6))
    assert 0 < len(high) < len(low)
    np.testing.assert_allclose(low.above(0.6).boxes, high.boxes, rtol=1e-5)
    unvoted = detector(scene, score_threshold=0.6, vote_threshold=None)
    assert unvoted.scores.tolist() == high.scores.tolist()
    assert unvoted.boxes.tolist() != high.boxes.tolist()


def test_what_is_known_already_is_not_computed_again(detector, scene, monkeypatch):
    first = detector.trace(scene)
    monkeypatch.setattr("fastrcnn.detector.search_stages", None)
    second = detector.trace(
        scene, boxes=first.boxes.numpy(), features=(first.features, first.scales)
    )
    assert second.proposals is None
    assert torch.equal(first.probabilities, second.probabilities)


def with_resize(detector: Detector, resize: Resize, flip: bool = False) -> Detector:
    """The same network at other scales."""
    model = FastRCNN(detector.model.config.but(resize=resize), detector.model.backbone)
    model.head = detector.model.head
    return Detector(model, detector.metadata, detector.search, detector.precision, flip)


def test_with_a_pyramid_each_box_is_scored_as_at_the_scale_that_suits_it(detector, scene):
    sides = (64, 160, 320)
    pyramid = with_resize(detector, Resize(pyramid=sides, shorter=64, longer=480))
    trace = pyramid.trace(scene)
    alone = [with_resize(detector, Resize(shorter=side, longer=480)).trace(scene) for side in sides]
    assert trace.features.shape[0] == 3
    assert trace.scales == tuple(one.scale for one in alone)
    areas = (trace.boxes[:, 2:] - trace.boxes[:, :2]).prod(dim=1)
    seen = set()
    for index, area in enumerate(areas.tolist()):
        level = min(range(3), key=lambda n: abs(area * np.prod(trace.scales[n]) - 224**2))
        seen.add(level)
        for name in ("probabilities", "deltas", "regressed"):
            mine, its = (getattr(one, name)[index] for one in (trace, alone[level]))
            torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-3)
    assert len(seen) > 1
    # The same numbers again for a box by itself, and for boxes in any number.
    index = int(areas.argmin())
    looked = pyramid.inspect(trace, trace.boxes[index])
    assert looked.level == 2
    torch.testing.assert_close(looked.probabilities, trace.probabilities[index])
    again = pyramid.score(trace, trace.boxes[:9])[0]
    torch.testing.assert_close(again, trace.probabilities[:9])


@pytest.mark.parametrize("pyramid", [(), (64, 144)])
def test_with_flips_the_answer_is_the_mean_of_the_picture_and_its_mirror_image(
    detector, scene, pyramid
):
    resize = Resize(shorter=96, longer=240, pyramid=pyramid)
    straight, both = (with_resize(detector, resize, flip) for flip in (False, True))
    trace = both.trace(scene)
    boxes = trace.boxes.numpy()
    first = straight.trace(scene, boxes=boxes)
    mirrored = box_ops.flip_boxes(boxes, scene.shape[1])
    second = straight.trace(np.ascontiguousarray(scene[:, ::-1]), boxes=mirrored)
    expected = (first.probabilities + second.probabilities) / 2
    torch.testing.assert_close(trace.probabilities, expected, rtol=1e-4, atol=1e-4)
    back = second.deltas * torch.tensor([-1.0, 1, 1, 1])
    torch.testing.assert_close(trace.deltas, (first.deltas + back) / 2, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(first.probabilities, trace.probabilities, atol=1e-3)
    again = both.score(trace, trace.boxes[:9])[0]
    torch.testing.assert_close(again, trace.probabilities[:9])


def test_proposals_limit_takes_the_best_ranked(detector, scene):
    assert len(detector.trace(scene, max_proposals=7).boxes) == 7


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), []])
def test_no_proposals_give_no_detections(detector, scene, boxes):
    trace = detector.trace(scene, boxes=boxes, retry=0.0)
    assert len(trace.detections) == 0
    assert trace.probabilities.shape == (0, 4) and trace.regressed.shape == (0, 4, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (30, 30)])
def test_degenerate_pictures_are_answered(detector, size):
    trace = detector.trace(np.full((*size, 3), 200, np.uint8), score_threshold=0.0)
    assert len(trace.boxes) == 1 and len(trace.detections) == 3
    assert np.isfinite(trace.detections.boxes).all()


def test_boxes_stay_in_the_picture(detector, scene):
    boxes = detector(scene, score_threshold=0.0).boxes
    assert boxes.min() >= 0
    assert boxes[:, [0, 2]].max() <= 160 and boxes[:, [1, 3]].max() <= 120


def test_retry_keeps_the_single_best_when_nothing_passes(detector, scene):
    probabilities = detector.trace(scene).probabilities[:, 1:]
    best = probabilities.max().item()
    assert len(detector(scene, score_threshold=1.0)) == 0
    kept = detector(scene, score_threshold=1.0, retry=0.0)
    assert len(kept) == 1 and kept.scores[0] == pytest.approx(best)
    assert len(detector(scene, score_threshold=1.0, retry=1.0)) == 0


def test_from_checkpoint_detects_the_same(detector, scene, tmp_path):
    save_checkpoint(tmp_path / "d.safetensors", detector.model, {"recipe": "test"})
    loaded = Detector.from_checkpoint(tmp_path / "d.safetensors", "single", "float32")
    assert loaded.classes == CLASSES and loaded.metadata["recipe"] == "test"
    ours, its = (one(scene, score_threshold=0.1) for one in (detector, loaded))
    assert its.to_list() == ours.to_list()


def test_a_file_that_is_no_picture(detector, tmp_path):
    (tmp_path / "a.jpg").write_text("no")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        detector(tmp_path / "a.jpg")


def test_detections_as_plain_values():
    found = Detections(
        np.array([[1, 2, 3.456, 4], [0, 0, 9, 9]], np.float32),
        np.array([0.9, 0.25], np.float32),
        np.array([2, 1]),
        ("cat", "dog"),
    )
    assert found.to_list() == [
        {"label": "dog", "score": 0.9, "box": [1.0, 2.0, 3.46, 4.0]},
        {"label": "cat", "score": 0.25, "box": [0.0, 0.0, 9.0, 9.0]},
    ]
    assert found.above(0.5).names == ["dog"] == found.first(1).names


def test_no_stage_is_timed_with_importing_torchvision(detector, photo, monkeypatch):
    monkeypatch.setattr("fastrcnn.runtime.torchvision_ops.prepare", lambda: time.sleep(0.5))
    before = time.perf_counter()
    seconds = detector.trace(photo).seconds
    assert sum(seconds.values()) < time.perf_counter() - before - 0.5


@pytest.mark.parametrize("pooling", ["paper", "align"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_only_the_detections_come_back(detector, scene, pooling, precision, monkeypatch):
    config = detector.model.config.but(pooling=pooling)
    model = FastRCNN(config, detector.model.backbone)
    model.head = detector.model.head
    other = Detector(model, search="single", precision=precision)
    expected = other(scene, score_threshold=0.0)
    compute_as_on_a_gpu(monkeypatch)
    with HostReads() as reads:
        found = other(scene, score_threshold=0.0)
    # The picture and the boxes go there, the detections come back. In between a GPU is waited for
    # where the size of a result depends on the data: distinct RoIs, those that are looked at twice,
    # candidates and how many a class, and what NMS leaves of each.
    assert reads.seen == {
        **{"copied there": 2, "cpu": 1, "numpy": 1, "tolist": 1, "nms": len(CLASSES)},
        **({"unique": 1} if pooling == "paper" else {}),
        "nonzero": 1 if precision == "float32" else 2,
    }
    assert found.names[0] == expected.names[0]
    limit = 1e-3 if precision == "float32" else 0.05
    np.testing.assert_allclose(found.scores[:5], expected.scores[:5], atol=limit)


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
def test_no_tensor_of_doubles_is_made_since_mps_has_none(
    detector, scene, pooling, gpu, monkeypatch
):
    model = FastRCNN(detector.model.config.but(pooling=pooling), detector.model.backbone)
    model.head = detector.model.head
    plain = Detector(model, search="single")
    sides = Resize(pyramid=(64, 144), shorter=64, longer=480)
    for other in (plain, with_resize(plain, sides, flip=True)):
        expected = other(scene, score_threshold=0.0).to_list()
        with monkeypatch.context() as patch, NoDoubles():
            if gpu:
                compute_as_on_a_gpu(patch)
            assert len(other(scene, score_threshold=0.0).to_list()) == len(expected) > 0
            trace = other.trace(scene, score_threshold=0.0)
            other.inspect(trace, trace.boxes[0])
            other.score(trace, trace.boxes)


@pytest.mark.parametrize("pooling", ["paper", "align"])
def test_the_forward_reads_nothing_back_whether_it_learns_or_not(pooling, monkeypatch):
    compute_as_on_a_gpu(monkeypatch)
    model = tiny_model(pooling=pooling)
    images = torch.rand(2, 3, 64, 80)
    rois = [torch.tensor([[10.0, 10, 33, 47], [5, 5, 70, 60]]), torch.tensor([[3.0, 4, 60, 50]])]
    for learns in (True, False):
        with HostReads() as reads, torch.set_grad_enabled(learns):
            scores, _ = model(images, rois)
        assert scores.requires_grad == learns and not reads.seen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU with CUDA")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_finds_what_the_processor_finds(detector, scene, precision):
    there = Detector(copy.deepcopy(detector.model), search="single", precision=precision).to("cuda")
    boxes = selective_search(scene, "single").boxes
    here, trace = (one.trace(scene, boxes=boxes) for one in (detector, there))
    assert there.device.type == "cuda"
    assert all(part.device.type == "cpu" for part in (trace.features, trace.regressed))
    limit = 1e-3 if precision == "float32" else 0.05
    torch.testing.assert_close(trace.probabilities, here.probabilities, atol=limit, rtol=0)
    assert there(scene, score_threshold=0.3).to_list() == (
        there.trace(scene, score_threshold=0.3).detections.to_list()
    )
    for pooling in ("paper", "walkthrough", "align"):
        ours, theirs = (one.inspect(here, here.boxes[0], pooling) for one in (there, detector))
        torch.testing.assert_close(ours.probabilities, theirs.probabilities, atol=1e-3, rtol=0)
    ours, theirs = (one.score(here, here.boxes)[0] for one in (there, detector))
    torch.testing.assert_close(ours, theirs, atol=limit, rtol=0)


def test_a_device_is_chosen_by_name_and_an_unknown_one_refused(tiny_checkpoint):
    assert Detector.from_checkpoint(tiny_checkpoint, device="cpu").to("cpu").device.type == "cpu"
    with pytest.raises(RecipeError, match="no device 'gpu' here"):
        Detector.from_checkpoint(tiny_checkpoint, device="gpu")


@pytest.mark.parametrize("name", ["float16", "half", "bf16"])
def test_an_unknown_precision_is_refused(detector, name):
    with pytest.raises(RecipeError, match=f"no precision '{name}'; there are .*bfloat16"):
        Detector(detector.model, precision=name)
