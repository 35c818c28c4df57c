import base64
import json
import math
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.detections import picture_record
from fastrcnn.postprocess import decide, select
from fastrcnn.ui.explore import payloads
from fastrcnn.ui.explore.server import _Server
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
    "decisions": {"score": 0.5, "nms": 0.3},
    "truth": {"boxes": [[20, 20, 70, 80]]},
    "takeaway": {"score": 0.5, "nms": 0.3, "kind": "json"},
}


@pytest.fixture
def analyses(detector) -> Analyses:
    return Analyses(detector)


@pytest.fixture
def questions(analyses) -> dict[str, Callable]:
    """The functions that the browser may call, by name."""
    return {function.__name__: function for function in _Server(analyses).functions()}


@pytest.fixture
def ask(analyses, questions, stages) -> Callable[..., dict]:
    """Ask about a picture that is done."""
    token = analyses.open(
        "me", Analysis("holiday.by.the.sea.jpg", analyses.detector, stages["detections"])
    )

    def answer(name: str, **asked) -> dict:
        answered = questions[name]({"token": token} | asked)
        assert_is_json(answered)
        return answered

    return answer


def assert_is_an_error(answer: dict) -> None:
    assert {"error"} <= answer.keys() <= {"error", "said"}
    assert_is_one_sentence(answer["error"])


def test_the_browser_may_ask_these_and_no_others(questions):
    assert questions.keys() == RIGHT.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_every_question_is_answered(ask, name):
    assert "error" not in ask(name, **RIGHT[name])


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("asked", [None, [], "token", 5, True])
def test_a_question_is_a_set_of_names_and_values(questions, name, asked):
    assert_is_an_error(questions[name](asked))


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("token", ["nosuch", None, 5, ["a"], {}])
def test_a_wrong_token_is_told_so(ask, name, token):
    answer = ask(name, token=token, **RIGHT[name])
    assert_is_an_error(answer)
    assert "no longer kept" in answer["error"]


@pytest.mark.parametrize("name", RIGHT)
def test_without_a_token_there_is_no_picture(questions, ask, name):
    assert_is_an_error(questions[name](RIGHT[name]))


@pytest.mark.parametrize(
    ("stage", "early"),
    [
        (None, list(RIGHT)),
        ("segments", ["proposals", "activity", "box", "mosaic", "decisions", "truth", "takeaway"]),
        ("proposals", ["activity", "box", "mosaic", "decisions", "truth", "takeaway"]),
        ("features", ["box", "mosaic", "decisions", "truth", "takeaway"]),
    ],
)
def test_who_asks_too_early_is_asked_to_wait(analyses, questions, stages, stage, early):
    token = analyses.open("me", Analysis("a.jpg", analyses.detector, stages.get(stage)))
    for name, asked in RIGHT.items():
        answer = questions[name]({"token": token} | asked)
        assert_is_json(answer)
        if name in early:
            assert_is_an_error(answer)
            assert answer["error"].endswith("ask again in a moment."), name
        else:
            assert "error" not in answer, name


NO_INDEX = [None, "0", True, -1, 1.5, math.nan, math.inf, {}, 10**6]
NO_BOX = [[], [1, 2, 3], ["1", 2, 30, 40], [200, 200, 300, 300], [5, 5, 5, 5], [[1, 2, 30, 40]]]
NO_SHARE = [None, "0.5", True, -0.1, 2, math.nan, [0.5]]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("segments", {"run": run}) for run in (*NO_INDEX, 4)),
        *((name, {"box": box}) for name in ("box", "mosaic") for box in (*NO_INDEX, *NO_BOX)),
        *((name, {"form": form}) for name in ("box", "mosaic") for form in ("x", 7, ["paper"])),
        *(("box", {"channel": channel}) for channel in (*NO_INDEX[1:], 512)),
        *(
            (name, {key: share})
            for name in ("decisions", "takeaway")
            for key in ("score", "nms")
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


@pytest.mark.parametrize("name", ["box", "mosaic", "decisions", "truth", "takeaway"])
def test_what_is_missing_is_answered_in_one_sentence(ask, name):
    assert_is_an_error(ask(name))


def test_a_picture_comes_with_the_objects_known_to_be_on_it(analyses, questions, ask, stages):
    scene = stages["detections"].image
    assert ask("picture") == payloads.picture(scene) | {"objects": []}
    known = Analysis("cat.jpg", analyses.detector, stages["segments"], objects=OBJECTS)
    token = analyses.open("you", known)
    assert questions["picture"]({"token": token})["objects"] == list(OBJECTS)


def test_a_run_shows_its_merges_once_there_are_any(analyses, questions, ask, stages):
    found = stages["proposals"].proposals
    for index, run in enumerate(found.hierarchies):
        shown = ask("segments", run=index)
        assert shown["run"] == index and len(shown["runs"]) == 4
        assert shown == shown | payloads.hierarchy(run)
    assert ask("segments") == ask("segments", run=0)

    token = analyses.open("you", Analysis("a.jpg", analyses.detector, stages["segments"]))
    for index, start in enumerate(stages["segments"].segmentations):
        shown = questions["segments"]({"token": token, "run": index})
        assert shown == shown | payloads.segments(start.segments.labels)
        assert len(shown["runs"]) == 2 and "merges" not in shown
    assert_is_an_error(questions["segments"]({"token": token, "run": 2}))


def test_proposals_are_the_same_before_and_after_they_are_scored(
    analyses, questions, ask, stages, trace
):
    token = analyses.open("you", Analysis("a.jpg", analyses.detector, stages["proposals"]))
    shown = questions["proposals"]({"token": token})
    assert shown == ask("proposals")
    assert len(shown["boxes"]) == len(trace.boxes) and len(shown["runs"]) == 4


@pytest.mark.parametrize("index", [0, 7.0])
def test_a_proposal_is_shown_with_the_numbers_of_the_trace(ask, trace, index):
    shown = ask("box", box=index, channel=3)
    row = int(index)
    assert shown["index"] == row and shown["channel"] == 3
    assert shown["box"] == payloads.numbers(trace.boxes[row], 2)
    assert shown["probabilities"] == payloads.numbers(trace.probabilities[row], 5)
    assert shown["deltas"] == payloads.numbers(trace.deltas[row], 5)
    assert shown["regressed"] == payloads.numbers(trace.regressed[row], 2)


@pytest.mark.parametrize("form", ["walkthrough", "align"])
def test_another_form_of_pooling_gives_its_own_numbers(ask, detector, trace, form):
    # The smallest proposal, where rounding matters most.
    index = int((trace.boxes[:, 2:] - trace.boxes[:, :2]).prod(dim=1).argmin())
    shown = ask("box", box=index, form=form)
    seen = detector.inspect(trace, trace.boxes[index], form)
    assert shown == payloads.inspection(seen, trace, 16, None) | {"index": index}
    assert shown["probabilities"] != ask("box", box=index)["probabilities"]


def test_a_box_of_ones_own_is_cut_to_the_picture_and_scored(ask, detector, trace):
    shown = ask("box", box=[30.5, -10, 90, 70])
    cut = torch.tensor([[30.5, 0, 90, 70]])
    assert shown["index"] is None and shown["box"] == cut[0].tolist()
    probabilities, deltas, regressed = detector.score(trace, cut)
    np.testing.assert_allclose(shown["probabilities"], probabilities[0], atol=2e-5)
    np.testing.assert_allclose(shown["deltas"], deltas[0], atol=2e-5)
    np.testing.assert_allclose(shown["regressed"], regressed[0], atol=2e-2)


def test_the_mosaic_is_that_of_the_box(ask, detector, trace):
    box = torch.tensor([30.0, 10, 90, 70])
    for asked, own in ((5, trace.boxes[5]), (box.tolist(), box)):
        for form in (None, "align"):
            seen = detector.inspect(trace, own, form)
            assert ask("mosaic", box=asked, form=form) == payloads.mosaic(seen)


def test_decisions_come_with_each_proposals_best_class(ask, trace):
    shown = ask("decisions", score=0.1, nms=0.4)
    made = decide(trace.probabilities, trace.regressed, 0.1, 0.4, vote_threshold=0.5)
    assert shown == shown | payloads.decisions(made) and shown["scores"]
    for row, score, label in zip(
        trace.probabilities.tolist(), shown["best_scores"], shown["best_labels"], strict=True
    ):
        assert score == round(max(row[1:]), 5) and row[label] == max(row[1:])
    assert shown["seconds"].keys() == trace.seconds.keys()
    unvoted = decide(trace.probabilities, trace.regressed, 0.1, 0.4)
    shown = ask("decisions", score=0.1, nms=0.4, vote=False)
    assert shown == shown | payloads.decisions(unvoted)


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
    taken = ask("takeaway", score=score, nms=nms, vote=vote, kind="json")
    assert taken["name"] == "holiday.by.the.sea.json"
    record = picture_record("holiday.by.the.sea.jpg", 120, 160, found, trace.seconds)
    assert json.loads(taken["text"]) == [record] and taken["text"].endswith("]\n")

    drawn = ask("takeaway", score=score, nms=nms, vote=vote, kind="png")
    assert drawn["name"] == "holiday.by.the.sea.png"
    kind, _, data = drawn["src"].partition(";base64,")
    assert kind == "data:image/png"
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert (pixels == found.draw(trace.image)).all()
