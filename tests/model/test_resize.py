import numpy as np
import pytest

from fastrcnn.errors import RecipeError
from fastrcnn.model.resize import Resize


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((375, 500), Resize(), (600, 800)),
        ((500, 375), Resize(), (800, 600)),
        ((300, 900), Resize(), (333, 1000)),
        ((375, 500), Resize(square=224), (224, 224)),
        ((1, 5000), Resize(), (32, 1000)),
        ((1, 1), Resize(), (600, 600)),
    ],
)
def test_the_input_has_the_papers_size(size, resize, expected):
    assert resize.size(*size) == expected


def test_resize_gives_the_scale_of_each_axis():
    resized, (sx, sy) = Resize(square=224).resize(np.zeros((100, 448, 3), np.uint8))
    assert resized.shape == (224, 224, 3) and (sx, sy) == (0.5, 2.24)


def test_a_pyramid_is_a_resize_for_each_scale():
    sides = (480, 576, 688, 864, 1200)
    levels = Resize(pyramid=sides, longer=2000).levels()
    assert [level.size(375, 500) for level in levels] == [(s, round(s * 4 / 3)) for s in sides]
    # A long picture reaches the limit, from some scale on.
    assert [level.size(300, 900) for level in levels][2:] == [(667, 2000)] * 3
    assert Resize().levels() == (Resize(),)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(RecipeError, match="largest of pyramid"):
        Resize(pyramid=(480, 1200))
    with pytest.raises(RecipeError, match="square"):
        Resize(pyramid=(480, 600), square=224)
    with pytest.raises(RecipeError, match="shorter is 3"):
        Resize(shorter=3)
    with pytest.raises(RecipeError, match="shorter is None"):
        Resize(shorter=None)
    with pytest.raises(RecipeError, match="at least shorter"):
        Resize(shorter=600, longer=500)
