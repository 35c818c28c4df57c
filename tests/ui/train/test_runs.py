"""Trainings on the page, without the page: one small set of shapes, the recipe cut short."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fastrcnn.data import Dataset, open_dataset, write_shapes
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError, FastRCNNError
from fastrcnn.training import SHAPES, Progress, with_settings
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import size_of, training_size
from fastrcnn.ui.train.run import Preparation, Run
from fastrcnn.ui.train.runs import Runs, TooMany
from fastrcnn.ui.train.turns import Turns
from tests.ui.conftest import assert_is_one_sentence

RECIPE = with_settings(
    SHAPES, ["iterations=12", "shorter=64", "longer=96", "fc6=16", "fc7=16", "rois_per_batch=32"]
)
PATIENCE = 60.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sets(cache) -> tuple[Dataset, Dataset]:
    folder = write_shapes(cache / "shapes", train=4, val=2)
    return open_dataset(folder, "train"), open_dataset(folder, "val")


@pytest.fixture(scope="module")
def data(sets) -> Preparation:
    return lambda: prepared(sets)


def prepared(sets: tuple[Dataset, Dataset]) -> Iterator[Progress]:
    for done in range(1, 4):
        yield Progress("pictures", done, 3)
    return sets


@pytest.fixture
def make(cache, data):
    """Starts runs and closes them at the end."""
    made: list[Run] = []

    def start(*settings: str, limits: Limits | None = None, turns: Turns | None = None, **kind):
        run = Run(
            with_settings(RECIPE, settings),
            kind.pop("data", data),
            turns or Turns(2),
            limits or Limits(),
            cache=cache,
            **kind,
        )
        made.append(run)
        return run

    yield start
    for run in made:
        run.close()
        assert run.join(PATIENCE)


def wait_for(run: Run, *phases: str) -> None:
    until(lambda: run.phase in phases, lambda: f"{run.phase} ({run.trouble})")


def until(holds: Callable[[], bool], state: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, state()
        time.sleep(0.01)


def losses(run: Run) -> list[tuple[float, ...]]:
    return [step[1:4] for step in run.curves.steps]


def test_a_run_tells_what_the_trainer_wrote_and_ends_with_map(make):
    run = make()
    wait_for(run, "finished")
    lines = [json.loads(line) for line in run.metrics().read_text().splitlines()]
    written = [line for line in lines if line["event"] == "step"]
    assert [line["iteration"] for line in written] == list(range(1, 13))
    numbers = [(line["loss"], line["loss_cls"], line["loss_loc"], line["lr"]) for line in written]
    assert numbers == [step[1:5] for step in run.curves.steps]
    validations = [line for line in lines if line["event"] == "validation"]
    assert [v["loss"] for v in validations] == [v[1] for v in run.curves.validations]
    assert len(validations) == 3  # four pictures and their mirror images make four steps an epoch
    last = run.curves.evaluations[-1]
    assert last["iteration"] == 12 and set(last["ap"]) == set(run.classes)
    scenes = run.held_out.scenes
    assert scenes.iteration == 12 and len(scenes.found) == 2
    assert run.step.iteration == 12 and len(run.step.batch) == RECIPE.images_per_batch
    # The optimizer and all that are gone; what the network takes is what is counted.
    until(lambda: run.size < training_size(RECIPE) / 2)
    assert run.size == size_of(run._trainer.model)


def test_what_is_shown_disturbs_no_number(make, tmp_path, cache, sets):
    """The same recipe by the trainer alone, which nobody looks at."""
    from fastrcnn.proposals import MODES
    from fastrcnn.proposals.cache import ProposalCache
    from fastrcnn.training import Step, Trainer
    from fastrcnn.training.trainer import build_model

    run = make()
    wait_for(run, "finished")
    train, val = sets
    model = build_model(RECIPE, train.classes)
    alone = Trainer(
        RECIPE,
        model,
        train,
        val,
        out=tmp_path / "alone",
        proposals=ProposalCache(MODES[RECIPE.proposals_mode], cache),
    )
    steps = [record for record in alone if isinstance(record, Step)]
    assert [(s.loss, s.loss_cls, s.loss_loc) for s in steps] == losses(run)


def test_pause_one_step_and_go_on(make):
    run = make(paused=True)
    wait_for(run, "paused")
    assert run.curves.steps == [] and run.held_out.scenes.iteration == 0
    for count in (1, 2):
        run.one_step()
        until(lambda count=count: len(run.curves.steps) == count)
        wait_for(run, "paused")
    time.sleep(0.3)
    assert len(run.curves.steps) == 2
    run.resume()
    wait_for(run, "finished")
    assert len(run.curves.steps) == 12


def test_the_preparation_can_be_paused_and_lets_others_pass(make, sets):
    turns, taken = Turns(1), []

    def slow():
        for done in range(1, 101):
            taken.append(done)
            yield Progress("pictures", done, 100)
            if done < 100:
                time.sleep(0.005)
        return sets

    run = make("iterations=2", data=slow, turns=turns)
    until(lambda: len(taken) >= 2)
    run.pause()
    wait_for(run, "paused")
    done = len(taken)
    assert run.doing == Progress("pictures", done, 100) and done < 100
    other = make("iterations=1", turns=turns)
    wait_for(other, "finished")
    assert len(taken) == done
    run.resume()
    wait_for(run, "finished")
    assert len(taken) == 100 and len(run.curves.steps) == 2


def test_the_same_start_gives_the_same_curve_however_it_is_interrupted(make):
    straight = make()
    wait_for(straight, "finished")
    broken = make(paused=True)
    for count in (1, 2, 3):
        broken.one_step()
        until(lambda count=count: len(broken.curves.steps) == count)
    broken.resume()
    wait_for(broken, "finished")
    assert losses(broken) == losses(straight)
    other = make("seed=1")
    wait_for(other, "finished")
    assert losses(other) != losses(straight)


def test_stop_keeps_what_was_learned_and_close_frees_it(make):
    run = make("iterations=100000")
    until(lambda: len(run.curves.steps) >= 3)
    run.stop()
    wait_for(run, "stopped")
    count = len(run.curves.steps)
    assert isinstance(run.detector(), Detector)
    model = weakref.ref(run._trainer.model)
    folder = run.metrics().parent
    run.close()
    assert run.join(PATIENCE)
    gc.collect()
    assert model() is None and not folder.exists()
    assert len(run.curves.steps) == count
    with pytest.raises(FastRCNNError):
        run.detector()


def test_a_taken_detector_is_left_alone_by_further_training(make):
    run = make(paused=True)
    wait_for(run, "paused")
    taken = run.detector()
    before = taken.model.head.fc6.weight.clone()
    assert not any(p.requires_grad for p in taken.model.parameters())
    assert taken.metadata["iterations"] == 0 and taken.search == RECIPE.proposals_mode
    run.one_step()
    until(lambda: len(run.curves.steps) == 1)
    wait_for(run, "paused")
    assert torch.equal(taken.model.head.fc6.weight, before)
    assert not torch.equal(run.detector().model.head.fc6.weight, before)


def test_a_run_that_diverges_says_which_knob_to_turn(make):
    run = make("lr=1e30", "optimizer=sgd", "schedule=constant")
    wait_for(run, "failed")
    assert_is_one_sentence(run.trouble)
    assert "diverged" in run.trouble and "lower lr" in run.trouble


def test_bad_data_is_one_sentence(make):
    def broken():
        yield Progress("pictures", 1, 3)
        raise DataError("There is no data set at nowhere: no such file or folder.")

    run = make(data=broken)
    wait_for(run, "failed")
    assert run.trouble == "There is no data set at nowhere: no such file or folder."
    with pytest.raises(FastRCNNError):
        run.metrics()


def test_a_visitor_who_has_gone_silently_leaves_no_thread_and_no_file(make, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.train.run.PATIENCE", 0.05)
    before = threading.active_count()
    run = make("iterations=100000", limits=Limits(away_seconds=1.0))
    until(lambda: len(run.curves.steps) >= 1)
    folder = run.metrics().parent
    assert run.join(PATIENCE)  # nobody touches it
    assert not folder.exists()
    until(lambda: threading.active_count() <= before)


def test_who_is_touched_lives_on(make, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.train.run.PATIENCE", 0.05)
    run = make(limits=Limits(away_seconds=1.5))
    for _ in range(30):
        time.sleep(0.1)
        run.touch()
    assert not run.join(0)


def test_a_run_ends_at_the_time_limit_and_says_so(make):
    run = make("iterations=100000", limits=Limits(training_minutes=1e-9))
    wait_for(run, "failed")
    assert_is_one_sentence(run.trouble)
    assert len(run.curves.steps) <= 1


def test_the_second_waits_for_the_first_and_a_pause_lets_it_pass(make):
    turns = Turns(1)
    first = make("iterations=100000", turns=turns)
    until(lambda: len(first.curves.steps) >= 1)
    second = make("iterations=3", turns=turns)
    until(lambda: second.ahead == 1)
    third = make("iterations=3", turns=turns)
    until(lambda: third.ahead == 2)
    assert (second.phase, third.phase) == ("waiting", "waiting")
    first.pause()
    wait_for(second, "finished")
    wait_for(third, "finished")
    count = len(first.curves.steps)
    first.resume()
    until(lambda: len(first.curves.steps) > count)


def test_who_goes_on_behind_others_waits_and_may_pause_again(make):
    turns = Turns(1)
    first = make(turns=turns, paused=True)
    wait_for(first, "paused")
    second = make("iterations=100000", turns=turns)
    until(lambda: len(second.curves.steps) >= 1)
    first.resume()
    wait_for(first, "waiting")
    assert first.ahead == 1
    first.pause()
    wait_for(first, "paused")
    assert first.ahead == 0 and first.curves.steps == []
    first.one_step()
    first.one_step()
    second.stop()
    until(lambda: len(first.curves.steps) == 2)
    wait_for(first, "paused")


def test_who_waits_may_give_up(make):
    turns = Turns(1)
    first = make("iterations=100000", turns=turns)
    until(lambda: first.phase == "training")
    second = make(turns=turns)
    until(lambda: second.ahead == 1)
    second.stop()
    wait_for(second, "stopped")
    assert second.ahead == 0


class TestRuns:
    @pytest.fixture
    def runs(self, monkeypatch):
        monkeypatch.setattr("fastrcnn.ui.train.run.PATIENCE", 0.05)
        runs = Runs(Limits(open_trainings=2))
        yield runs
        for session in ("me", "you", "they"):
            runs.close(session)

    def test_a_session_has_one_run(self, runs, cache, data):
        old = runs.start("me", RECIPE, data, cache=cache, paused=True)
        kept = runs.get(old)
        new = runs.start("me", RECIPE, data, cache=cache, paused=True)
        assert kept.join(PATIENCE) and len(runs) == 1
        assert runs.get(new) is not kept
        with pytest.raises(FastRCNNError, match="no longer kept"):
            runs.get(old)

    def test_over_the_limit_the_next_is_refused_in_one_sentence(self, runs, cache, data):
        for session in ("me", "you"):
            runs.start(session, RECIPE, data, cache=cache, paused=True)
        with pytest.raises(TooMany) as error:
            runs.start("they", RECIPE, data, cache=cache)
        assert_is_one_sentence(str(error.value))
        runs.close("me")
        assert runs.start("they", RECIPE, data, cache=cache, paused=True)

    def test_who_stands_still_gives_place_to_who_has_none(self, runs, cache, data):
        mine, yours = (
            runs.start(session, RECIPE, data, cache=cache, paused=True) for session in ("me", "you")
        )
        for token, seconds in ((mine, 601), (yours, 700)):
            until(lambda token=token: runs.get(token).phase == "paused")
            runs.get(token)._active -= seconds
        given = runs.get(yours)
        assert runs.start("they", RECIPE, data, cache=cache, paused=True)
        assert given.join(PATIENCE) and len(runs) == 2
        with pytest.raises(FastRCNNError, match="no longer kept"):
            runs.get(yours)
        # Whoever takes a step now and then keeps the place.
        runs.get(mine).one_step()
        until(lambda: runs.get(mine).idle < 600)
        with pytest.raises(TooMany):
            runs.start("you", RECIPE, data, cache=cache)

    def test_who_left_without_a_word_is_forgotten(self, runs, cache, data):
        token = runs.start("me", RECIPE, data, cache=cache, paused=True)
        run = runs.get(token)
        run.close()
        assert run.join(PATIENCE)
        runs.start("you", RECIPE, data, cache=cache, paused=True)
        assert list(runs._tokens) == ["you"] and len(runs) == 1

    @pytest.mark.parametrize("token", ["", "nosuch", None, 5, ["a"], {}])
    def test_an_unknown_token_is_refused(self, runs, token):
        with pytest.raises(FastRCNNError) as error:
            runs.get(token)
        assert_is_one_sentence(str(error.value))
