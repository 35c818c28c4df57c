from threading import Event, Thread
from types import SimpleNamespace

import pytest

from fastrcnn.detector import Detector, Stage
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Full, size_of
from fastrcnn.ui.sessions import Analyses, Analysis, Gone
from tests.ui.conftest import assert_is_one_sentence


def counting_analyses(stages: list[Stage]) -> tuple[Analyses, list]:
    """Analyses by a detector that writes down each picture it is given."""
    given = []

    def detect(picture):
        given.append(picture)
        # Time for another thread to come in, if it could.
        Event().wait(0.1)
        yield from stages

    return Analyses(SimpleNamespace(stages=detect, model=None)), given


@pytest.fixture
def analyses() -> Analyses:
    return counting_analyses([])[0]


def test_a_token_gives_its_own_picture(analyses):
    one, two = Analysis("one.jpg", analyses.detector), Analysis("two.jpg", analyses.detector)
    first, second = analyses.open("me", one), analyses.open("you", two)
    assert analyses.get(first) is one and analyses.get(second) is two


def test_tokens_cannot_be_guessed(analyses):
    tokens = [
        analyses.open(f"session {k}", Analysis("a.jpg", analyses.detector)) for k in range(30)
    ]
    assert len(set(tokens)) == 30
    assert all(type(token) is str and len(token) >= 20 for token in tokens)
    assert not any("session" in token for token in tokens)


@pytest.mark.parametrize("token", ["", "nosuch", None, 5, 0.5, True, ["a"], {"a": 1}, b"a"])
def test_an_unknown_token_is_gone(analyses, token):
    analyses.open("me", Analysis("a.jpg", analyses.detector))
    with pytest.raises(Gone) as error:
        analyses.get(token)
    assert_is_one_sentence(str(error.value))


def test_a_session_has_one_picture(analyses):
    old = analyses.open("me", Analysis("old.jpg", analyses.detector))
    other = analyses.open("you", Analysis("other.jpg", analyses.detector))
    new = analyses.open("me", Analysis("new.jpg", analyses.detector))
    assert len(analyses) == 2
    assert analyses.get(new).name == "new.jpg" and analyses.get(other).name == "other.jpg"
    with pytest.raises(Gone):
        analyses.get(old)


def test_what_is_closed_is_freed(analyses):
    token = analyses.open("me", Analysis("a.jpg", analyses.detector))
    kept = analyses.open("you", Analysis("b.jpg", analyses.detector))
    analyses.close("me")
    analyses.close("me")  # a second time does no harm
    analyses.close("nobody")
    assert len(analyses) == 1 and analyses.get(kept).name == "b.jpg"
    with pytest.raises(Gone):
        analyses.get(token)


def test_over_the_limit_the_least_recently_used_goes():
    analyses = Analyses(None, Limits(pictures=2))
    one = analyses.open("one", Analysis("1.jpg", analyses.detector))
    two = analyses.open("two", Analysis("2.jpg", analyses.detector))
    analyses.get(one)
    three = analyses.open("three", Analysis("3.jpg", analyses.detector))
    assert len(analyses) == 2
    assert [analyses.get(token).name for token in (one, three)] == ["1.jpg", "3.jpg"]
    with pytest.raises(Gone):
        analyses.get(two)
    analyses.close("two")
    again = analyses.open("two", Analysis("4.jpg", analyses.detector))
    assert analyses.get(again).name == "4.jpg" and len(analyses) == 2


def test_each_stage_is_kept_as_it_comes(detector, scene):
    analyses, analysis = Analyses(detector), Analysis("a.jpg", detector)
    names = []
    for stage in analyses.analyse(analysis, scene):
        assert analysis.stage is stage
        names.append(stage.name)
    assert names == ["segments", "proposals", "features", "detections"]
    assert analysis.stage.trace is not None


def test_a_visitors_own_picture_is_analysed_each_time(scene, stages):
    analyses, given = counting_analyses(list(stages.values()))
    for _ in range(2):
        assert len(list(analyses.analyse(Analysis("a.jpg", analyses.detector), scene))) == 4
    assert len(given) == 2


def test_an_example_is_analysed_once_for_all(scene, stages):
    analyses, given = counting_analyses(list(stages.values()))
    first, second = (
        Analysis("cat.jpg", analyses.detector, example="cat"),
        Analysis("cat.jpg", analyses.detector, example="cat"),
    )
    assert len(list(analyses.analyse(first, scene))) == 4
    assert list(analyses.analyse(second, scene)) == [stages["detections"]]
    assert second.stage is first.stage is stages["detections"]
    list(analyses.analyse(Analysis("dog.jpg", analyses.detector, example="dog"), scene))
    assert len(given) == 2


def test_two_who_want_an_example_at_once_share_one_analysis(scene, stages):
    analyses, given = counting_analyses(list(stages.values()))
    both = [Analysis("cat.jpg", analyses.detector, example="cat") for _ in range(2)]
    threads = [Thread(target=lambda a=a: list(analyses.analyse(a, scene))) for a in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 1
    assert both[0].stage is both[1].stage is stages["detections"]


def test_who_leaves_in_the_middle_leaves_the_example_to_the_next(scene, stages):
    analyses, given = counting_analyses(list(stages.values()))
    left = analyses.analyse(Analysis("cat.jpg", analyses.detector, example="cat"), scene)
    assert next(left).name == "segments"
    left.close()
    after = Analysis("cat.jpg", analyses.detector, example="cat")
    assert len(list(analyses.analyse(after, scene))) == 4
    assert after.stage is stages["detections"] and len(given) == 2


def test_an_analysis_that_failed_is_tried_again(scene, stages):
    calls = []

    def detect(picture):
        calls.append(picture)
        yield stages["segments"]
        if len(calls) == 1:
            raise MemoryError
        yield stages["detections"]

    analyses = Analyses(SimpleNamespace(stages=detect))
    with pytest.raises(MemoryError):
        list(analyses.analyse(Analysis("cat.jpg", analyses.detector, example="cat"), scene))
    after = Analysis("cat.jpg", analyses.detector, example="cat")
    list(analyses.analyse(after, scene))
    assert after.stage is stages["detections"] and len(calls) == 2


def test_a_trained_detector_is_its_sessions_own_and_sees_examples_anew(scene, stages):
    analyses, given = counting_analyses(list(stages.values()))
    mine, others = counting_analyses(list(stages.values()))
    analyses.use("me", mine.detector)
    assert analyses.detector_of("me") is mine.detector
    assert analyses.detector_of("you") is analyses.detector
    list(analyses.analyse(Analysis("cat.jpg", analyses.detector, example="cat"), scene))
    for _ in range(2):
        seen = list(analyses.analyse(Analysis("cat.jpg", mine.detector, example="cat"), scene))
        assert len(seen) == 4
    assert len(given) == 1 and len(others) == 2
    analyses.use("me", None)
    assert analyses.detector_of("me") is analyses.detector
    analyses.use("me", mine.detector)
    analyses.close("me")
    assert analyses.detector_of("me") is analyses.detector


def test_visitors_share_the_factors_of_the_projects_detector_and_hold_their_own(detector):
    analyses = Analyses(detector)
    one, two = (Analysis("a.jpg", detector) for _ in range(2))
    assert analyses.factors(one) is analyses.factors(two)
    assert one.size == 0 and analyses.held(None) == 0

    trained = Analysis("b.jpg", Detector(detector.model))
    analyses.open("me", trained)
    own = analyses.factors(trained)
    assert own is analyses.factors(trained) and own is not analyses.factors(one)
    assert analyses.held("me") == trained.size == size_of(own) > 0


def test_factors_too_large_for_a_visitor_are_refused(detector):
    analyses = Analyses(detector, Limits(session_mb=0.1))
    trained = Analysis("b.jpg", Detector(detector.model))
    analyses.open("me", trained)
    with pytest.raises(Full, match="a visitor may hold"):
        analyses.factors(trained)
    assert trained.factors is None and trained.size == 0
