import base64
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.detections import picture_record
from fastrcnn.explanations.gradient import box_gradient
from fastrcnn.explanations.occlusion import occlude
from fastrcnn.explanations.rcnn import crops
from fastrcnn.postprocess import decide, select
from fastrcnn.ui.explore import explanations, payloads
from fastrcnn.ui.explore.server import server_functions
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.sessions import Analyses, Analysis
from tests.ui.conftest import assert_is_json, assert_is_one_sentence

OBJECTS = ({"label": "cat", "box": [20, 20, 70, 80], "difficult": False},)
# What each question needs beside the token.
RIGHT = {
    "picture": {},
    "segments": {},
    "proposals": {},
    "activity": {},
    "box": {"box": 0},
    "mosaic": {"box": 0},
    "decisions": {"score_threshold": 0.5, "nms_threshold": 0.3},
    "truth": {"boxes": [[20, 20, 70, 80]]},
    "takeaway": {"score_threshold": 0.5, "nms_threshold": 0.3, "kind": "json"},
    "occlusion": {"box": 0},
    "gradient": {"box": 0, "label": 8, "truth": [20, 20, 70, 80]},
    "rcnn": {"first": 0},
    "forms": {"box": 0, "channel": 3},
    "shifts": {"box": 0, "label": 8, "axis": 0},
    "ranks": {"box": 0, "fc6": 3, "fc7": 15},
    "compressed": {"score_threshold": 0.5, "nms_threshold": 0.3, "fc6": 3, "fc7": 15},
}
OF_THE_TRACE = [
    name for name in RIGHT if name not in ("picture", "segments", "proposals", "activity")
]


@pytest.fixture
def analyses(detector) -> Analyses:
    return Analyses(detector)


@pytest.fixture
def functions(analyses) -> dict[str, Callable]:
    """The functions that the browser may call, by name."""
    return {function.__name__: function for function in server_functions(analyses, Limits())}


@pytest.fixture
def ask(analyses, functions, stages) -> Callable[..., dict]:
    """Ask about a picture that is done."""
    token = analyses.open(
        "me", Analysis("holiday.by.the.sea.jpg", analyses.detector, stages["detections"])
    )

    def request(name: str, **inputs) -> dict:
        reply = functions[name]({"token": token} | inputs)
        assert_is_json(reply)
        return reply

    return request


def assert_is_an_error(reply: dict) -> None:
    assert {"error"} <= reply.keys() <= {"error", "text"}
    assert_is_one_sentence(reply["error"])


def test_the_browser_may_ask_these_and_no_others(functions):
    assert functions.keys() == RIGHT.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_every_question_is_answered(ask, name):
    assert "error" not in ask(name, **RIGHT[name])


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("inputs", [None, [], "token", 5, True])
def test_the_inputs_are_a_set_of_names_and_values(functions, name, inputs):
    assert_is_an_error(functions[name](inputs))


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("token", ["nosuch", None, 5, ["a"], {}])
def test_a_wrong_token_is_told_so(ask, name, token):
    reply = ask(name, token=token, **RIGHT[name])
    assert_is_an_error(reply)
    assert "no longer kept" in reply["error"]


@pytest.mark.parametrize("name", RIGHT)
def test_without_a_token_there_is_no_picture(functions, ask, name):
    assert_is_an_error(functions[name](RIGHT[name]))


@pytest.mark.parametrize(
    ("stage", "early"),
    [
        (None, list(RIGHT)),
        ("segments", ["proposals", "activity", *OF_THE_TRACE]),
        ("proposals", ["activity", *OF_THE_TRACE]),
        ("features", OF_THE_TRACE),
    ],
)
def test_a_request_that_comes_too_early_is_told_to_wait(analyses, functions, stages, stage, early):
    token = analyses.open("me", Analysis("a.jpg", analyses.detector, stages.get(stage)))
    for name, inputs in RIGHT.items():
        reply = functions[name]({"token": token} | inputs)
        assert_is_json(reply)
        if name in early:
            assert_is_an_error(reply)
            assert reply["error"].endswith("ask again in a moment."), name
        else:
            assert "error" not in reply, name


OF_A_BOX = ("box", "mosaic", "occlusion", "gradient", "forms", "shifts", "ranks")
NO_INDEX = [None, "0", True, -1, 1.5, math.nan, math.inf, {}, 10**6]
NO_BOX = [[], [1, 2, 3], ["1", 2, 30, 40], [200, 200, 300, 300], [5, 5, 5, 5], [[1, 2, 30, 40]]]
NO_SHARE = [None, "0.5", True, -0.1, 2, math.nan, [0.5]]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("segments", {"run": run}) for run in (*NO_INDEX, 4)),
        *((name, {"box": box}) for name in OF_A_BOX for box in (*NO_INDEX, *NO_BOX)),
        *(
            (name, {"pooling": pooling})
            for name in ("box", "mosaic", "occlusion", "gradient")
            for pooling in ("x", 7, ["paper"])
        ),
        *(
            (name, {"channel": channel})
            for name in ("box", "gradient", "forms")
            for channel in (*NO_INDEX[1:], 512)
        ),
        *((name, {"label": label}) for name in ("gradient", "shifts") for label in (*NO_INDEX, 21)),
        *(("shifts", {"axis": axis}) for axis in (*NO_INDEX, 2)),
        *(("rcnn", {"first": first}) for first in NO_INDEX),
        *(("gradient", {"truth": box}) for box in (None, 5, *NO_BOX)),
        *(
            (name, {layer: rank})
            for name in ("ranks", "compressed")
            for layer in ("fc6", "fc7")
            for rank in (*NO_INDEX, 0, 17)
        ),
        *(
            (name, {key: share})
            for name in ("decisions", "takeaway", "compressed")
            for key in ("score_threshold", "nms_threshold")
            for share in NO_SHARE
        ),
        *((name, {"vote": v}) for name in ("decisions", "takeaway") for v in ("no", 1, 0.5)),
        *(("truth", {"boxes": boxes}) for boxes in (None, {}, "x", 5, [1], [[0, 0, 9, 9]] * 101)),
        *(("truth", {"boxes": [box]}) for box in NO_BOX),
        pytest.param("segments", {"run": 10**400}, id="huge"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_sentence(ask, name, wrong):
    assert_is_an_error(ask(name, **RIGHT[name] | wrong))


@pytest.mark.parametrize("name", OF_THE_TRACE)
def test_what_is_missing_is_answered_in_one_sentence(ask, name):
    assert_is_an_error(ask(name))


def test_a_picture_comes_with_the_objects_known_to_be_on_it(analyses, functions, ask, stages):
    scene = stages["detections"].image
    # The input's shorter side has 64 pixels.
    expected = payloads.picture(scene) | {"input": [85, 64]}
    assert ask("picture") == expected | {"objects": []}
    known = Analysis("cat.jpg", analyses.detector, stages["segments"], objects=OBJECTS)
    token = analyses.open("you", known)
    assert functions["picture"]({"token": token})["objects"] == list(OBJECTS)


def test_a_run_shows_its_merges_once_there_are_any(analyses, functions, ask, stages):
    found = stages["proposals"].proposals
    for index, run in enumerate(found.hierarchies):
        payload = ask("segments", run=index)
        assert payload["run"] == index and len(payload["runs"]) == 4
        assert payload == payload | payloads.hierarchy(run)
    assert ask("segments") == ask("segments", run=0)

    token = analyses.open("you", Analysis("a.jpg", analyses.detector, stages["segments"]))
    for index, start in enumerate(stages["segments"].segmentations):
        payload = functions["segments"]({"token": token, "run": index})
        assert payload == payload | payloads.segments(start.segments.labels)
        assert len(payload["runs"]) == 2 and "merges" not in payload
    assert_is_an_error(functions["segments"]({"token": token, "run": 2}))


def test_proposals_are_the_same_before_and_after_they_are_scored(
    analyses, functions, ask, stages, trace
):
    token = analyses.open("you", Analysis("a.jpg", analyses.detector, stages["proposals"]))
    payload = functions["proposals"]({"token": token})
    assert payload == ask("proposals")
    assert len(payload["boxes"]) == len(trace.boxes) and len(payload["runs"]) == 4


@pytest.mark.parametrize("index", [0, 7.0])
def test_a_proposal_is_shown_with_the_numbers_of_the_trace(ask, trace, index):
    payload = ask("box", box=index, channel=3)
    row = int(index)
    assert payload["index"] == row and payload["channel"] == 3
    assert payload["box"] == payloads.numbers(trace.boxes[row], 2)
    assert payload["probabilities"] == payloads.numbers(trace.probabilities[row], 5)
    assert payload["deltas"] == payloads.numbers(trace.deltas[row], 5)
    assert payload["regressed"] == payloads.numbers(trace.regressed[row], 2)


@pytest.mark.parametrize("pooling", ["walkthrough", "align"])
def test_another_pooling_gives_its_own_numbers(ask, detector, trace, pooling):
    # The smallest proposal, where rounding matters most.
    index = int((trace.boxes[:, 2:] - trace.boxes[:, :2]).prod(dim=1).argmin())
    payload = ask("box", box=index, pooling=pooling)
    seen = detector.inspect(trace, trace.boxes[index], pooling)
    assert payload == payloads.inspection(seen, trace, 16, None) | {"index": index}
    assert payload["probabilities"] != ask("box", box=index)["probabilities"]


def test_a_box_of_ones_own_is_cut_to_the_picture_and_scored(ask, detector, trace):
    payload = ask("box", box=[30.5, -10, 90, 70])
    cut = torch.tensor([[30.5, 0, 90, 70]])
    assert payload["index"] is None and payload["box"] == cut[0].tolist()
    probabilities, deltas, regressed = detector.score(trace, cut)
    np.testing.assert_allclose(payload["probabilities"], probabilities[0], atol=2e-5)
    np.testing.assert_allclose(payload["deltas"], deltas[0], atol=2e-5)
    np.testing.assert_allclose(payload["regressed"], regressed[0], atol=2e-2)


def test_the_mosaic_is_that_of_the_box(ask, detector, trace):
    box = torch.tensor([30.0, 10, 90, 70])
    for inputs, own in ((5, trace.boxes[5]), (box.tolist(), box)):
        for pooling in (None, "align"):
            seen = detector.inspect(trace, own, pooling)
            assert ask("mosaic", box=inputs, pooling=pooling) == payloads.mosaic(seen)


def test_decisions_come_with_each_proposals_best_class(ask, trace):
    payload = ask("decisions", score_threshold=0.1, nms_threshold=0.4)
    made = decide(trace.probabilities, trace.regressed, 0.1, 0.4, vote_threshold=0.5)
    assert payload == payload | payloads.decisions(made) and payload["scores"]
    for row, score, label in zip(
        trace.probabilities.tolist(), payload["best_scores"], payload["best_labels"], strict=True
    ):
        assert score == round(max(row[1:]), 5) and row[label] == max(row[1:])
    assert payload["seconds"].keys() == trace.seconds.keys()
    unvoted = decide(trace.probabilities, trace.regressed, 0.1, 0.4)
    payload = ask("decisions", score_threshold=0.1, nms_threshold=0.4, vote=False)
    assert payload == payload | payloads.decisions(unvoted)


def test_true_objects_are_compared_with_the_scored_proposals(ask, trace):
    boxes = [[20, 20, 70, 80], [-5, 0, 200, 130]]
    truths = torch.tensor([[20.0, 20, 70, 80], [0, 0, 160, 120]])
    assert ask("truth", boxes=boxes) == {"objects": payloads.truth(trace.boxes, truths)}
    assert ask("truth", boxes=[]) == {"objects": []}


@pytest.mark.parametrize(
    ("score", "nms", "vote"),
    [(0.5, 0.3, True), (0.05, 0.6, False), (0.05, 0.6, True), (1, 0, True)],
)
def test_what_is_taken_away_is_what_the_command_line_writes(ask, detector, trace, score, nms, vote):
    least = 0.5 if vote else None
    found = select(trace.probabilities, trace.regressed, detector.classes, score, nms, least)
    taken = ask("takeaway", score_threshold=score, nms_threshold=nms, vote=vote, kind="json")
    assert taken["name"] == "holiday.by.the.sea.json"
    record = picture_record("holiday.by.the.sea.jpg", 120, 160, found, trace.seconds)
    assert json.loads(taken["text"]) == [record] and taken["text"].endswith("]\n")

    drawn = ask("takeaway", score_threshold=score, nms_threshold=nms, vote=vote, kind="png")
    assert drawn["name"] == "holiday.by.the.sea.png"
    kind, _, data = drawn["src"].partition(";base64,")
    assert kind == "data:image/png"
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert (pixels == found.draw(trace.image)).all()


# The views beside the stations


def test_the_views_show_the_numbers_of_the_packages_experiments(ask, detector, trace):
    seen = detector.inspect(trace, trace.boxes[3])
    channels = payloads.strongest(seen.pooled)
    found = occlude(detector.model.head, seen.pooled, torch.tensor(channels))
    payload = ask("occlusion", box=3)
    assert payload["channels"] == channels
    assert payload["bins"] == payloads.numbers(found.bins, 4)
    assert payload["without_channel"] == payloads.numbers(found.channels, 4)

    truth = torch.tensor([20.0, 20, 70, 80])
    payload = ask("gradient", box=3, label=8, truth=truth.tolist(), channel=channels[0])
    for name, pooling in (("own", None), ("align", "align")):
        inspected = detector.inspect(trace, trace.boxes[3], pooling)
        gradient = box_gradient(detector, trace, inspected, 8, truth)
        assert payload[name]["map"] == payloads.significant(gradient.cells[channels[0]])
        assert payload[name]["loss"] == pytest.approx(gradient.loss.total.item(), rel=1e-5)
    assert payload["winners"] == seen.argmax[channels[0]].tolist()

    payload = ask("forms", box=3, channel=channels[0])
    for pooling, form in payload["forms"].items():
        inspected = detector.inspect(trace, trace.boxes[3], pooling)
        assert form["pooled"] == payloads.numbers(inspected.pooled[channels[0]], 3)
        assert form["probabilities"] == payloads.numbers(inspected.probabilities, 5)
    np.testing.assert_allclose(payload["exact"], np.array(payload["input"]) / 16, atol=1e-3)

    payload = ask("shifts", box=3, label=8, axis=1)
    for scores in payload["forms"].values():
        assert len(scores) == len(payload["shifts"]) and scores[payload["shifts"].index(0)] == 0


def test_r_cnn_goes_on_from_where_it_was(ask, detector, trace):
    first = ask("rcnn", first=0)
    assert first["once"] > 0 and len(first["seconds"]) == 2
    then = ask("rcnn", first=2)
    assert then["once"] is None and then["first"] == 2
    assert then["fast"] == payloads.numbers(trace.probabilities[2:4], 4)
    own = [
        payloads.numbers(crop.probabilities, 4) for crop in crops(detector, trace, trace.boxes[2:4])
    ]
    assert then["rcnn"] == own
    last = ask("rcnn", first=len(trace.boxes) - 1)
    assert len(last["rcnn"]) == 1


def test_full_ranks_leave_the_network_as_it_is_and_lower_ones_do_not(ask, detector, trace):
    whole = {"fc6": 16, "fc7": 16}
    same = ask("ranks", box=0, **whole)
    assert same["probabilities"] == ask("box", box=0)["probabilities"]
    assert same["layers"]["fc6"] == {"undivided": 16 * 25088, "own": 16 * 25088, "now": 16 * 25088}
    lower = ask("ranks", box=0, fc6=2, fc7=16)
    assert lower["layers"]["fc6"]["now"] == 2 * (25088 + 16)
    assert lower["probabilities"] != same["probabilities"]
    both = ask("compressed", score_threshold=0.1, nms_threshold=0.3, **whole)
    assert both["own"] | {"seconds": 0} == both["now"] | {"seconds": 0}
    found = select(trace.probabilities, trace.regressed, detector.classes, 0.1, 0.3, 0.5)
    assert both["own"]["labels"] == found.labels.tolist()


LONG = ("occlusion", "rcnn", "compressed")


def test_a_second_long_experiment_waits_and_is_then_told_to_ask_again(ask, monkeypatch):
    replies = []

    def busy_meanwhile(*inputs):
        replies.extend(ask(name, **RIGHT[name]) for name in LONG)
        return iter(())

    monkeypatch.setattr(explanations, "_WAIT", 0.01)
    monkeypatch.setattr(explanations, "crops", busy_meanwhile)
    assert "busy" not in ask("rcnn", first=4)
    assert replies == [{"busy": True}] * len(LONG)
    monkeypatch.undo()
    for name in LONG:
        assert "busy" not in ask(name, **RIGHT[name])


def test_who_waits_for_a_long_experiment_gets_the_place_when_it_is_free(ask, monkeypatch):
    first_began, second_called = threading.Event(), threading.Event()

    def until_the_second_asks(*inputs):
        first_began.set()
        second_called.wait(60)
        time.sleep(0.2)  # until it waits
        return iter(())

    monkeypatch.setattr(explanations, "_WAIT", 60)
    monkeypatch.setattr(explanations, "crops", until_the_second_asks)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, "rcnn", first=4)
        first_began.wait(60)
        second = pool.submit(ask, "occlusion", box=3)
        second_called.set()
        assert "busy" not in first.result() and "busy" not in second.result()
