import base64
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.detector import Detector
from fastrcnn.model import FastRCNN, ModelConfig
from fastrcnn.postprocess import decide
from fastrcnn.ui.explore import payloads
from tests.ui.conftest import assert_is_json


def unpack(payload: dict) -> np.ndarray:
    """The labels, as a browser reads them."""
    flat = zlib.decompress(base64.b64decode(payload["labels"]))
    kind = {16: "<u2", 32: "<u4"}[payload["bits"]]
    return np.frombuffer(flat, kind).reshape(payload["height"], payload["width"])


def decode(address: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(address.partition(";base64,")[2])))


@pytest.mark.parametrize(
    ("height", "width", "bits"), [(1, 1, 16), (3, 5, 16), (256, 256, 16), (257, 256, 32)]
)
def test_labels_come_back_as_they_were(height, width, bits):
    labels = np.random.default_rng(0).permutation(height * width).astype(np.int32)
    labels = labels.reshape(height, width)
    payload = payloads.segments(labels)
    assert payload["bits"] == bits and payload["count"] == height * width
    assert (unpack(payload) == labels).all()
    assert_is_json(payload)


@pytest.mark.parametrize(
    ("backbone", "convolutions", "sees"),
    # ResNet-18 has three more on the shortcuts of its stages, two of them below the fourth.
    [("vgg16", 13, 196), ("caffenet", 5, 163), ("resnet18", 13 + 2, 211)],
)
def test_a_cell_sees_as_much_as_the_literature_says(backbone, convolutions, sees):
    network = FastRCNN(ModelConfig(classes=("cat",), backbone=backbone, fc6=4, fc7=4))
    payload = payloads.model(Detector(network))
    assert payload["sees"] == sees and payload["stride"] == 16
    assert payload["convolutions"] == convolutions
    assert payload["pool_size"] == (6 if backbone == "caffenet" else 7)


def test_a_hierarchy_is_shown_whole(trace):
    for run in trace.proposals.hierarchies:
        payload = payloads.hierarchy(run)
        assert_is_json(payload)
        assert (unpack(payload) == run.labels).all()
        assert payload["count"] == len(run.merges) + 1 > 2
        assert payload["merges"] == run.merges.tolist()
        assert payload["sizes"] == run.sizes.tolist()
        np.testing.assert_allclose(payload["boxes"], run.boxes, atol=0.051)
        np.testing.assert_allclose(payload["similarities"], run.similarities, atol=5.1e-5)
        assert payload["names"] == ["colour", "texture", "size", "fill"]
        assert payload["used"] == [run.strategy == "CTSF", True, True, True]


def test_before_the_proposals_there_is_a_run_for_each_segmentation(stages):
    stage = stages["segments"]
    runs = payloads.runs(stage.segmentations, None)
    assert_is_json(runs)
    assert [(run["space"], run["threshold"], run["strategy"]) for run in runs] == [
        *(("HSV", 50, None), ("HSV", 100, None))
    ]
    assert [run["segments"] for run in runs] == [
        start.segments.labels.max() + 1 for start in stage.segmentations
    ]


def test_with_the_proposals_there_is_a_run_for_each_hierarchy(stages):
    stage = stages["proposals"]
    runs = payloads.runs(stage.segmentations, stage.proposals)
    assert_is_json(runs)
    assert [(run["threshold"], run["strategy"]) for run in runs] == [
        *((50, "CTSF"), (50, "TSF"), (100, "CTSF"), (100, "TSF"))
    ]
    assert [run["segments"] for run in runs] == [
        run.labels.max() + 1 for run in stage.proposals.hierarchies
    ]


@pytest.mark.parametrize("count", [0, 7, 2000])
def test_each_proposal_is_the_box_of_the_region_it_names(trace, count):
    boxes = trace.boxes.numpy()[:count]
    payload = payloads.proposals(trace.proposals, count)
    assert_is_json(payload)
    assert len(payload["sources"]) == len(payload["boxes"]) == len(boxes)
    for box, (run, node), own in zip(payload["boxes"], payload["sources"], boxes, strict=True):
        assert box == pytest.approx(own.tolist(), abs=0.051)
        assert (trace.proposals.hierarchies[run].boxes[node] == own).all()


def test_the_activity_is_the_mean_of_all_channels(detector, trace):
    height, width = trace.image.shape[:2]
    payload = payloads.activity(trace.features, height, width, detector.model)
    assert_is_json(payload)
    assert np.array(payload["map"]) == pytest.approx(
        trace.features[0].mean(dim=0).numpy(), abs=1e-3
    )
    assert payload["map_size"] == list(trace.features.shape[:1:-1])
    assert payload["cell"] == pytest.approx([16 / trace.scale[0], 16 / trace.scale[1]])


@pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
@pytest.mark.parametrize("index", [0, 5, -1])
def test_the_numbers_of_an_inspection_are_the_detectors(detector, trace, pooling, index):
    seen = detector.inspect(trace, trace.boxes[index], pooling)
    payload = payloads.inspection(seen, trace, 16, channel=9)
    assert_is_json(payload)
    assert payload["pooling"] == pooling
    assert payload["channel"] == 9 and payload["channels"] == 512
    assert payload["map_size"] == [trace.features.shape[3], trace.features.shape[2]]
    for name, own, digits in (
        ("box", seen.box, 2),
        ("exact", seen.exact, 3),
        ("bins", seen.bins, 3),
        ("map", trace.features[0, 9], 3),
        ("pooled", seen.pooled[9], 3),
        ("probabilities", seen.probabilities, 5),
        ("deltas", seen.deltas, 5),
        ("regressed", seen.regressed, 2),
    ):
        assert payload[name] == np.round(own.double().numpy(), digits).tolist(), name
    if pooling == "align":
        assert payload["cells"] is payload["moved"] is payload["winners"] is None
        return
    assert payload["cells"] == seen.cells.tolist()
    assert payload["winners"] == seen.argmax[9].tolist()
    values = np.array(payload["map"]).ravel()
    for cell, value in zip(np.ravel(payload["winners"]), np.ravel(payload["pooled"]), strict=True):
        assert value == (values[cell] if cell >= 0 else 0)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_rounding_moves_a_box_by_cells_minus_exact_in_pixels_of_the_picture(
    detector, trace, pooling
):
    moves = []
    for box in trace.boxes[:10]:
        seen = detector.inspect(trace, box, pooling)
        payload = payloads.inspection(seen, trace, 16, None)
        # Back on the picture, the rounded box is off by so many pixels.
        rounded = [
            cell * 16 / scale for cell, scale in zip(payload["cells"], trace.scale * 2, strict=True)
        ]
        assert payload["moved"] == pytest.approx(
            (np.array(rounded) - box.numpy()).tolist(), abs=0.06
        )
        assert payload["cell"] == [16 / trace.scale[0], 16 / trace.scale[1]]
        moves += payload["moved"]
    assert max(map(abs, moves)) > 1


def test_the_strongest_channels_are_those_with_the_largest_values(detector, trace):
    seen = detector.inspect(trace, trace.boxes[3])
    payload = payloads.inspection(seen, trace, 16, None)
    largest = [max(values) for values in seen.pooled.flatten(1).tolist()]
    best = sorted(range(512), key=lambda k: (-largest[k], k))[:12]
    assert [entry["channel"] for entry in payload["strongest"]] == best
    for entry in payload["strongest"]:
        assert entry["largest"] == round(largest[entry["channel"]], 2)
        assert entry["pooled"] == payloads.numbers(seen.pooled[entry["channel"]], 2)
    assert payload["channel"] == best[0]
    assert payload["pooled"] == payloads.numbers(seen.pooled[best[0]], 3)


def test_the_mosaic_is_every_channel_as_bytes(detector, trace):
    seen = detector.inspect(trace, trace.boxes[3])
    payload = payloads.mosaic(seen)
    assert_is_json(payload)
    assert payload["channels"] == 512 and payload["size"] == 7
    levels = np.frombuffer(zlib.decompress(base64.b64decode(payload["levels"])), np.uint8)
    exact = seen.pooled.double().numpy() * 255 / seen.pooled.max().item()
    np.testing.assert_allclose(levels.reshape(512, 7, 7), exact, atol=0.501)
    assert levels.max() == 255
    assert payload["largest"] == round(seen.pooled.max().item(), 3)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_mosaic_of_nothing_is_black(detector, trace, value):
    seen = detector.inspect(trace, trace.boxes[3])
    payload = payloads.mosaic(replace(seen, pooled=torch.full_like(seen.pooled, value)))
    assert_is_json(payload)
    assert not any(zlib.decompress(base64.b64decode(payload["levels"])))


def test_decisions_are_listed_column_by_column(trace):
    made = decide(trace.probabilities, trace.regressed, 0.05, 0.3)
    payload = payloads.decisions(made)
    assert_is_json(payload)
    assert 0 < sum(payload["kept"]) < len(payload["kept"])
    for name in ("proposals", "labels", "kept", "suppressed_by"):
        assert payload[name] == getattr(made, name).tolist()
    for name, digits in (("scores", 5), ("boxes", 2), ("overlaps", 4)):
        assert payload[name] == np.round(getattr(made, name).double().numpy(), digits).tolist()


def test_where_nothing_reaches_the_score_all_columns_are_empty(trace):
    payload = payloads.decisions(decide(trace.probabilities, trace.regressed, 1.0, 0.3))
    assert len(payload) == 9 and not any(payload.values())


def slow_truth(truth: list[float], boxes: list[list[float]]) -> dict:
    """Box by box."""
    first, best, most = None, None, 0.0
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        width = max(min(x2, truth[2]) - max(x1, truth[0]), 0)
        height = max(min(y2, truth[3]) - max(y1, truth[1]), 0)
        areas = (x2 - x1) * (y2 - y1) + (truth[2] - truth[0]) * (truth[3] - truth[1])
        overlap = width * height / (areas - width * height)
        if overlap >= 0.5 and first is None:
            first = index
        if best is None or overlap > most:
            best, most = index, overlap
    return {"first": first, "best": best, "iou": pytest.approx(most, abs=1e-4)}


def test_how_well_true_objects_are_covered_against_a_slow_loop():
    random = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 90, (300, 2), generator=random)
    sides = torch.randint(20, 70, (300, 2), generator=random)
    boxes = torch.cat([corners, corners + sides], dim=1).float()
    truths = torch.tensor([[10.0, 10, 60, 60], [40, 20, 80, 85], [0, 0, 9, 9], [170, 0, 180, 9]])
    found = payloads.truth(boxes, truths)
    assert_is_json(found)
    assert found == [slow_truth(truth, boxes.tolist()) for truth in truths.tolist()]
    assert found[0]["first"] is not None and found[2]["first"] is None and found[3]["iou"] == 0


def test_an_overlap_of_one_half_is_found():
    boxes = torch.tensor([[0.0, 0, 10, 4.9], [0, 0, 10, 5]])
    assert payloads.truth(boxes, torch.tensor([[0.0, 0, 10, 10]])) == [
        {"first": 1, "best": 1, "iou": 0.5}
    ]


def test_without_proposals_nothing_is_covered():
    assert payloads.truth(torch.zeros(0, 4), torch.tensor([[0.0, 0, 10, 10]])) == [
        {"first": None, "best": None, "iou": 0.0}
    ]


def test_without_true_objects_there_is_nothing_to_cover():
    assert payloads.truth(torch.tensor([[0.0, 0, 10, 10]]), torch.zeros(0, 4)) == []


@pytest.mark.parametrize(
    ("height", "width", "sent_size"),
    [
        (120, 160, (160, 120)),
        (1200, 7, (7, 1200)),
        (650, 1300, (1200, 600)),
        (2400, 1800, (900, 1200)),
        (1, 3000, (1200, 1)),
    ],
)
def test_a_picture_tells_its_own_size_and_is_sent_no_larger_than_shown(height, width, sent_size):
    payload = payloads.picture(np.full((height, width, 3), (200, 40, 90), np.uint8))
    assert_is_json(payload)
    assert (payload["width"], payload["height"]) == (width, height)
    assert payload["src"].startswith("data:image/jpeg;base64,")
    sent = decode(payload["src"])
    assert sent.format == "JPEG" and sent.size == sent_size
    assert np.abs(np.asarray(sent).astype(int) - (200, 40, 90)).max() <= 4


def test_a_small_picture_is_not_touched(scene):
    assert payloads.shrink(scene) is scene


def test_a_png_address_holds_every_pixel(scene):
    address = payloads.data_url(scene, "PNG")
    assert address.startswith("data:image/png;base64,")
    assert (np.asarray(decode(address)) == scene).all()
