import numpy as np
import pytest

from fastrcnn.model import Resize
from fastrcnn.training.augment import Augmentation


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(seed: int = 0) -> np.ndarray:
    return random(seed).integers(40, 200, (6, 8, 3), np.uint8)


def test_without_anything_to_draw_nothing_changes():
    nothing = Augmentation()
    assert not nothing
    resize = Resize(shorter=400, longer=667)
    assert nothing.resize(resize, random()) == resize
    assert nothing.recolour(picture(), random()).tolist() == picture().tolist()


def test_every_scale_is_drawn_and_the_limit_of_the_longer_side_goes_with_it():
    draw = random()
    augmentation, one = Augmentation((200, 400, 600)), Resize(shorter=400, longer=668)
    made = {augmentation.resize(one, draw) for _ in range(50)}
    assert made == {
        Resize(shorter=200, longer=334),
        Resize(shorter=400, longer=668),
        Resize(shorter=600, longer=1002),
    }


def test_colours_change_and_what_is_drawn_decides_how():
    recolour = Augmentation(colour=0.3).recolour
    first = recolour(picture(), random(1))
    assert first.shape == (6, 8, 3)
    assert first.dtype == np.uint8
    assert first.tolist() != picture().tolist()
    assert first.tolist() == recolour(picture(), random(1)).tolist()
    assert first.tolist() != recolour(picture(), random(2)).tolist()


@pytest.mark.parametrize("colour", [0.1, 0.3])
def test_a_grey_picture_stays_grey_and_is_no_brighter_than_drawn(colour: float):
    grey = np.full((5, 4, 3), 100, np.uint8)
    for seed in range(20):
        changed = Augmentation(colour=colour).recolour(grey, random(seed)).astype(int)
        assert np.ptp(changed) <= 1
        # A flat picture has no contrast and no colour to change: only the light does.
        assert 100 * (1 - colour) - 2 <= changed.min() <= changed.max() <= 100 * (1 + colour) + 2
