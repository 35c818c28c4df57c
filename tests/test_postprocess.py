from inspect import signature

import numpy as np
import pytest
import torch

from fastrcnn import boxes as box_ops
from fastrcnn.cli.detect import detect
from fastrcnn.cli.error_analysis import error_analysis
from fastrcnn.cli.evaluate import evaluate
from fastrcnn.errors import RecipeError
from fastrcnn.postprocess import PER_CLASS, Selection, decide, select

CLASSES = ("ball", "box", "cone")


def random_candidates(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and boxes on a coarse grid, so that equal scores and overlaps do occur."""
    random = torch.Generator().manual_seed(seed)
    probabilities = torch.randint(0, 8, (count, 4), generator=random) / 8
    corners = torch.randint(0, 6, (count, 4, 2), generator=random)
    sides = torch.randint(1, 6, (count, 4, 2), generator=random)
    return probabilities, torch.cat([corners, corners + sides], dim=2).float() * 10


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("score", "nms"), [(0.5, 0.3), (0.1, 0.5), (0.0, 0.25)])
def test_decisions_are_those_of_select_with_their_reasons(seed, score, nms):
    probabilities, regressed = random_candidates(seed, 40)
    made = decide(probabilities, regressed, score, nms)
    found = select(probabilities, regressed, CLASSES, score, nms)
    order = torch.argsort(made.scores[made.kept], descending=True, stable=True)
    assert made.boxes[made.kept][order].tolist() == found.boxes.tolist()
    assert made.labels[made.kept][order].tolist() == found.labels.tolist()
    assert len(made.scores) == (probabilities[:, 1:] >= score).sum()
    columns = made.labels.tolist(), (-made.scores).tolist(), made.proposals.tolist()
    places = list(zip(*columns, strict=True))
    assert places == sorted(places)
    for i, by in enumerate(made.suppressed_by.tolist()):
        proposal, label = made.proposals[i], made.labels[i]
        assert made.scores[i] == probabilities[proposal, label]
        assert torch.equal(made.boxes[i], regressed[proposal, label])
        overlap = box_ops.iou(made.boxes[i : i + 1], made.boxes)[0]
        better = [
            j
            for j in range(i)
            if made.kept[j] and made.labels[j] == label and overlap[j].item() > nms
        ]
        assert bool(made.kept[i]) == (by == -1) == (not better)
        if better:
            assert by == better[0] and made.overlaps[i] == overlap[by]
        else:
            assert made.overlaps[i] == 0


@pytest.mark.parametrize("seed", range(5))
def test_every_box_of_the_class_votes_on_what_is_kept_however_low_its_score(seed):
    probabilities, regressed = random_candidates(seed, 40)
    found = select(probabilities, regressed, CLASSES, 0.5, 0.3, vote_threshold=0.5)
    before = select(probabilities, regressed, CLASSES, 0.5, 0.3)
    assert found.scores.tolist() == before.scores.tolist()
    for label, box, placed in zip(before.labels, before.boxes, found.boxes, strict=True):
        total, weights = np.zeros(4), 0.0
        for other, probability in zip(regressed[:, label], probabilities[:, label], strict=True):
            if box_ops.iou(torch.from_numpy(box)[None], other[None]) >= 0.5:
                total += other.numpy() * probability.item()
                weights += probability.item()
        np.testing.assert_allclose(placed, total / weights, rtol=1e-5)
    made = decide(probabilities, regressed, 0.5, 0.3, vote_threshold=0.5)
    order = torch.argsort(made.scores[made.kept], descending=True, stable=True)
    np.testing.assert_allclose(made.voted[made.kept][order], found.boxes, rtol=1e-5)
    assert torch.equal(made.voted[~made.kept], made.boxes[~made.kept])
    assert (made.votes[made.kept] > 0).all() and (made.votes[~made.kept] == 0).all()


def test_what_is_over_the_limit_is_neither_kept_nor_suppressed():
    count = PER_CLASS + 3
    probabilities = torch.linspace(0.9, 0.5, count)[:, None].expand(-1, 2)
    boxes = torch.arange(count).float()[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    made = decide(probabilities, boxes[:, None].expand(-1, 2, -1), 0.1, 0.3)
    assert made.kept.tolist() == [True] * PER_CLASS + [False] * 3
    assert made.suppressed_by.tolist() == [-1] * count


def test_no_candidates_no_decisions():
    made = decide(torch.zeros(3, 4), torch.zeros(3, 4, 4), 0.5, 0.3)
    assert all(len(column) == 0 for column in vars(made).values())
    empty = decide(torch.zeros(0, 4), torch.zeros(0, 4, 4), 0.5, 0.3)
    assert all(len(column) == 0 for column in vars(empty).values())


def test_at_most_a_hundred_of_a_class():
    count = PER_CLASS + 50
    probabilities = torch.rand(count, 2).softmax(dim=1)
    boxes = torch.arange(count).float()[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    found = select(probabilities, boxes[:, None].expand(-1, 2, -1), ("thing",), 0.0, 0.3)
    assert len(found) == PER_CLASS
    best = probabilities[:, 1].sort(descending=True).values[:PER_CLASS]
    assert found.scores.tolist() == best.tolist()


def test_a_class_without_candidates_does_not_keep_the_next_one_from_having_some():
    probabilities, boxes = torch.tensor([[0.1, 0.0, 0.9]]), torch.ones(1, 3, 4)
    assert select(probabilities, boxes, ("cat", "dog"), 0.5, 0.3).names == ["dog"]


def test_suppression_is_per_class():
    probabilities = torch.tensor([[0.1, 0.5, 0.4], [0.1, 0.4, 0.5]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]])[:, None].expand(-1, 3, -1)
    found = select(probabilities, boxes, ("cat", "dog"), 0.2, 0.3)
    assert sorted(found.names) == ["cat", "dog"] and found.scores.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("command", [detect, evaluate, error_analysis])
def test_the_commands_select_as_the_detector_does(command):
    options = signature(command).parameters
    for name in ("nms_threshold", "vote_threshold"):
        assert options[name].default == getattr(Selection(), name)
    assert options["max_proposals"].default == Selection().max_proposals
    assert signature(detect).parameters["score_threshold"].default == Selection().score_threshold


@pytest.mark.parametrize("seed", range(3))
def test_a_selection_selects_by_its_own_thresholds(seed):
    probabilities, regressed = random_candidates(seed, 40)
    chosen = Selection(score_threshold=0.7, nms_threshold=0.2, vote_threshold=0.6)
    found = chosen.select(probabilities, regressed, CLASSES)
    expected = select(probabilities, regressed, CLASSES, 0.7, 0.2, 0.6)
    assert len(found) > 1 and found.names == expected.names
    assert found.scores.tolist() == expected.scores.tolist()
    assert found.boxes.tolist() == expected.boxes.tolist()


@pytest.mark.parametrize(
    ("retry", "names"), [(None, []), (0.45, []), (0.4, ["cone"]), (0.1, ["cone"])]
)
def test_where_no_box_reaches_the_score_the_best_one_above_another_is_kept(retry, names):
    probabilities = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.5, 0.1, 0, 0.4], [0.6, 0.2, 0.1, 0.1]])
    regressed = torch.arange(48.0).reshape(3, 4, 4) + torch.tensor([0, 0, 100, 100])
    limits = {"nms_threshold": 0.35, "vote_threshold": 1.0}
    found = Selection(retry=retry, **limits).select(probabilities, regressed, CLASSES)
    assert found.names == names
    assert found.boxes.tolist() == regressed[1, 3][None].tolist() * len(names)
    some = Selection(score_threshold=0.3, retry=retry, **limits)
    assert some.select(probabilities, regressed, CLASSES).names == ["cone", "ball"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("score_threshold", 1.5), ("nms_threshold", float("nan")), ("max_proposals", 0)],
)
def test_a_selection_that_cannot_work_is_named(field, value):
    with pytest.raises(RecipeError, match=field):
        Selection(**{field: value})
