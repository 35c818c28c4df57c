"""What visitors' work takes of the memory, and what happens when it is too much."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fastrcnn.detector import Stage
from fastrcnn.training import PAPER, RECIPES, SHAPES, WALKTHROUGH, Trainer, with_settings
from fastrcnn.training.trainer import build_model
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import MB, Full, Memory, size_of, training_size
from fastrcnn.ui.sessions import Analyses, Analysis, Gone
from fastrcnn.ui.train.runs import Runs
from tests.ui.conftest import assert_is_one_sentence


def test_arrays_and_tensors_count_once_however_they_are_held(detector, stages):
    array, tensor = np.zeros((3, 5), np.float32), torch.zeros(7, dtype=torch.float64)
    assert size_of(array) == 60 and size_of(tensor) == 56
    assert size_of([array, (array[1:], array.T)], array, tensor[2:], "text", None, 5) == 116
    parameters = sum(p.numel() * 4 for p in detector.model.parameters())
    assert parameters <= size_of(detector.model) < parameters + 10_000
    stage = stages["detections"]
    whole = size_of(stage)
    assert whole == size_of(stage, stage.trace) > stage.image.nbytes + stage.features.nbytes
    assert size_of(stages["segments"]) < whole


def test_a_session_and_all_of_them_have_a_limit():
    memory = Memory(Limits(session_mb=10, memory_mb=15))
    held = {"me": 6 * MB, "you": 8 * MB}
    memory.holders.append(lambda session: held.get(session, 0) if session else sum(held.values()))
    assert memory.left("me") == 4 * MB and memory.left(None) == 1 * MB
    memory.check("me", 1 * MB)
    memory.check("me", 7 * MB, freed=6 * MB)
    with pytest.raises(Full, match="takes 5 MB of memory and a visitor may hold 10 MB") as own:
        memory.check("me", 5 * MB)
    with pytest.raises(Full, match=r"takes 2 MB .* all visitors together may hold 15 MB") as all_:
        memory.check("they", 2 * MB)
    for error in (own, all_):
        assert_is_one_sentence(str(error.value))


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_takes_its_weights_gradients_and_what_the_optimizer_keeps(name):
    recipe = RECIPES[name]
    small = with_settings(recipe, ["fc6=16", "fc7=16", "fc6_rank=none", "svd_rank=none"])
    model = build_model(small, tuple(map(str, range(20))), "random")
    weights = sum(p.numel() for p in model.parameters())
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    kept = {"sgd": 1, "adam": 2, "adamw": 2}[recipe.optimizer] + recipe.averages
    start = sum(p.numel() for p in model.backbone.parameters() if p.requires_grad)
    expected = weights + learning * (1 + kept) + start * recipe.needs_start
    assert training_size(small) == 4 * expected


def test_wide_heads_take_gigabytes_and_shapes_next_to_nothing():
    assert training_size(SHAPES) < 20 * MB
    assert 1000 * MB < training_size(PAPER) < training_size(WALKTHROUGH) < 3072 * MB


# Pictures


def analysing(limits: Limits, **sizes: int) -> tuple[Analyses, dict[str, np.ndarray]]:
    """Analyses whose pictures take so many MB."""
    analyses = Analyses(
        SimpleNamespace(stages=lambda picture: iter([Stage("all", picture)])), limits
    )
    return analyses, {name: np.zeros((size, MB, 1), np.uint8) for name, size in sizes.items()}


def look(analyses: Analyses, session: str, picture: np.ndarray) -> str:
    analysis = Analysis(f"{session}.jpg", analyses.detector)
    token = analyses.open(session, analysis)
    list(analyses.analyse(analysis, picture))
    return token


def test_a_picture_too_large_for_a_visitor_is_let_go_of_and_the_next_is_not():
    analyses, pictures = analysing(Limits(session_mb=3), large=4, small=2)
    with pytest.raises(Full, match="takes 4 MB of memory and a visitor may hold 3 MB") as error:
        look(analyses, "me", pictures["large"])
    assert_is_one_sentence(str(error.value))
    assert len(analyses) == 0 and analyses.held(None) == 0
    look(analyses, "me", pictures["small"])
    assert analyses.held("me") == 2 * MB


def test_the_picture_not_asked_for_longest_makes_room():
    analyses, pictures = analysing(Limits(memory_mb=5), a=2, b=2, c=2)
    one, two = (look(analyses, name, pictures[name]) for name in "ab")
    analyses.get(one)
    three = look(analyses, "c", pictures["c"])
    assert {analyses.get(one).name, analyses.get(three).name} == {"a.jpg", "c.jpg"}
    with pytest.raises(Gone):
        analyses.get(two)
    assert analyses.held(None) == 4 * MB


def test_without_others_to_let_go_of_it_is_refused():
    analyses, pictures = analysing(Limits(memory_mb=1), large=2)
    with pytest.raises(Full, match="all visitors together may hold 1 MB"):
        look(analyses, "me", pictures["large"])
    assert len(analyses) == 0


def test_an_example_is_the_pages_own():
    analyses, pictures = analysing(Limits(memory_mb=1), large=2)
    analysis = Analysis("cat.jpg", analyses.detector, example="cat")
    analyses.open("me", analysis)
    list(analyses.analyse(analysis, pictures["large"]))
    assert len(analyses) == 1 and analyses.held("me") == 0


def test_a_trained_detector_counts_and_may_be_refused(detector):
    size = size_of(detector.model)
    analyses = Analyses(detector, Limits(session_mb=1.5 * size / MB))
    for _ in range(2):  # the second in the place of the first
        analyses.use("me", detector)
        assert analyses.held("me") == size
    analyses = Analyses(detector, Limits(session_mb=0.5 * size / MB))
    with pytest.raises(Full, match=r"^This takes .* a visitor"):
        analyses.use("me", detector)
    assert analyses.held("me") == 0


# Trainings


def no_data():
    raise AssertionError("nothing should be read")


@pytest.fixture
def paused():
    made = []

    def start(runs: Runs, session: str, recipe=SHAPES) -> str:
        made.append((runs, session))
        return runs.start(session, recipe, no_data, paused=True)

    yield start
    for runs, session in made:
        runs.close(session)


def test_a_training_too_large_for_a_visitor_is_refused_and_the_old_one_stays(paused, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.train.run.Run._train", lambda self, folder: None)
    runs = Runs(Limits(session_mb=100))
    token = paused(runs, "me")
    assert runs.held("me") == training_size(SHAPES)
    with pytest.raises(Full, match=r"^This takes 1,539 MB .* may hold 100 MB") as error:
        paused(runs, "me", PAPER)
    assert_is_one_sentence(str(error.value))
    assert runs.get(token).recipe is SHAPES


def test_pictures_and_trainings_share_what_there_is(paused, monkeypatch):
    monkeypatch.setattr("fastrcnn.ui.train.run.Run._train", lambda self, folder: None)
    size = training_size(SHAPES)
    limits = Limits(session_mb=(size + 3 * MB) / MB)
    memory = Memory(limits)
    runs = Runs(limits, memory)
    picture = np.zeros((4, MB, 1), np.uint8)
    detector = SimpleNamespace(stages=lambda picture: iter([Stage("all", picture)]))
    analyses = Analyses(detector, limits, memory)
    paused(runs, "me")
    with pytest.raises(Full, match=r"^This takes 4 MB"):
        look(analyses, "me", picture)
    look(analyses, "you", picture)
    runs.close("me")
    look(analyses, "me", picture)
    with pytest.raises(Full, match=r"^This takes .* a visitor may hold"):
        paused(runs, "me")


def test_the_trainer_keeps_what_was_counted(tmp_path):
    """The real optimizer's state of a few steps, against the count."""
    from fastrcnn.data import open_dataset, write_shapes
    from fastrcnn.proposals import MODES
    from fastrcnn.proposals.cache import ProposalCache

    folder = write_shapes(tmp_path / "shapes", train=2, val=1)
    train, val = open_dataset(folder, "train"), open_dataset(folder, "val")
    recipe = with_settings(
        SHAPES, ["iterations=2", "average_last=1", "fc6=16", "fc7=16", "rois_per_batch=16"]
    )
    model = build_model(recipe, train.classes)
    trainer = Trainer(
        recipe,
        model,
        train,
        val,
        out=tmp_path / "run",
        proposals=ProposalCache(MODES[recipe.proposals_mode], tmp_path),
    )
    list(trainer)
    kept = [t for state in trainer._solver.optimizer.state.values() for t in state.values()]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    held = size_of([*model.parameters()], gradients, kept, list(trainer._solver.average.values()))
    classes = (21 - len(train.classes) - 1) * 5 * (16 + 1) * 4 * 5  # counted for twenty
    assert abs(held - (training_size(recipe) - classes)) < 0.01 * held
