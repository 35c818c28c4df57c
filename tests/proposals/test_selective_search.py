import numpy as np
import pytest

from fastrcnn.errors import RecipeError
from fastrcnn.proposals import MODES, SelectiveSearch, selective_search
from tests.proposals.test_segments import picture


@pytest.fixture(scope="module")
def scene():
    return picture(5, 120, 160)


def test_the_same_picture_and_seed_give_the_same_boxes_in_the_same_order(scene):
    first, second = selective_search(scene), selective_search(scene)
    assert len(first) > 20
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.sources, second.sources)


def test_another_seed_gives_the_same_boxes_in_another_order(scene):
    first, second = selective_search(scene, seed=0), selective_search(scene, seed=1)
    assert not np.array_equal(first.boxes, second.boxes)
    assert set(map(tuple, first.boxes.tolist())) == set(map(tuple, second.boxes.tolist()))


def test_no_box_comes_twice_and_each_comes_from_its_source(scene):
    found = selective_search(scene)
    assert len(np.unique(found.boxes, axis=0)) == len(found)
    for box, (hierarchy, node) in zip(found.boxes, found.sources, strict=True):
        assert np.array_equal(found.hierarchies[hierarchy].boxes[node], box)


@pytest.mark.parametrize(("mode", "runs"), [("single", 1), ("fast", 8), ("quality", 80)])
def test_modes_run_the_papers_hierarchies(mode, runs):
    found = selective_search(picture(6), mode)
    assert len(found.hierarchies) == runs
    wanted = {
        (space, k, strategy)
        for space in MODES[mode].colour_spaces
        for k in MODES[mode].thresholds
        for strategy in MODES[mode].strategies
    }
    assert {(h.colour_space, h.threshold, h.strategy) for h in found.hierarchies} == wanted


def test_large_regions_tend_to_come_first(scene):
    boxes = selective_search(scene).boxes
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    half = len(areas) // 2
    assert areas[:half].mean() > 2 * areas[half:].mean()


def test_ranking_is_position_times_a_random_number():
    found = selective_search(picture(7), "single")
    (hierarchy,) = found.hierarchies
    nodes = len(hierarchy.boxes)
    value = np.arange(nodes, 0, -1) * np.random.default_rng(0).random(nodes)
    order = [node for node in np.argsort(value) if node in set(found.sources[:, 1].tolist())]
    assert found.sources[:, 1].tolist() == order


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 20), (20, 1), (2, 2), (400, 20), (20, 400), (5, 900), (300, 300)]
)
def test_a_flat_picture_gives_the_whole_picture(size):
    found = selective_search(np.full((*size, 3), 77, np.uint8))
    assert found.boxes.tolist() == [[0, 0, size[1], size[0]]]


def test_thin_noise_works():
    noise = np.random.default_rng(0).integers(0, 256, (8, 160, 3), dtype=np.uint8)
    boxes = selective_search(noise).boxes
    assert len(boxes) and (boxes[:, 2:] > boxes[:, :2]).all()


def test_boxes_are_scaled_back_from_the_working_size(scene):
    large = np.kron(scene, np.ones((8, 8, 1), np.uint8))
    found = selective_search(large, MODES["single"].but(work_size=160))
    assert found.hierarchies[0].labels.shape == (120, 160)
    assert found.boxes[:, 2].max() == 1280 and found.boxes[:, 3].max() == 960
    assert np.array_equal(found.boxes, selective_search(scene, "single").boxes * 8)


def test_boxes_below_the_least_side_are_dropped(scene):
    found = selective_search(scene, MODES["fast"].but(min_side=30))
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    assert len(found) and sides.min() >= 30


def settings(**changes) -> SelectiveSearch:
    usual = {"colour_spaces": ("HSV",), "thresholds": (100,), "strategies": ("C",)}
    return SelectiveSearch(**(usual | changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: selective_search(np.zeros((4, 4, 3), np.uint8), "fastest"), "there are single"),
        (lambda: settings(colour_spaces=("RGB",)), "'RGB'; there are HSV, Lab"),
        (lambda: settings(strategies=("X",)), "'X'; a strategy is made of the letters C"),
        (lambda: settings(strategies=("",)), "'' *; a strategy is made of the letters C"),
        (lambda: settings(thresholds=()), "at least one of thresholds"),
        (lambda: settings(thresholds=(50, 0)), "thresholds has 0; it must be 1 pixel or more"),
        (lambda: settings(work_size=0), "work_size is 0; it must be greater than or equal to 1"),
        (lambda: settings(sigma=-1.0), "sigma is -1.0; it must be"),
        (lambda: settings(sigma=float("inf")), "sigma is inf; it must be a finite number"),
        (lambda: settings(seed="1"), "seed is '1'; it must be a valid integer"),
        (lambda: settings(sides=3), "Unknown setting 'sides'; there are colour_spaces, "),
    ],
)
def test_settings_that_cannot_work_say_what_would(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


def test_every_setting_is_described():
    assert all(field.description for field in SelectiveSearch.model_fields.values())


def test_the_reference_of_a_mode_is_not_changed_by_a_seed(scene):
    selective_search(scene, seed=9)
    assert MODES["fast"].seed == 0
