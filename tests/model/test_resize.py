import numpy as np
import pytest

from fastrcnn.errors import RecipeError
from fastrcnn.model.resize import Geometry


@pytest.mark.parametrize(
    ("size", "geometry", "expected"),
    [
        ((375, 500), Geometry(), (600, 800)),
        ((500, 375), Geometry(), (800, 600)),
        ((300, 900), Geometry(), (333, 1000)),
        ((375, 500), Geometry(square=224), (224, 224)),
        ((1, 5000), Geometry(), (16, 1000)),
        ((1, 1), Geometry(), (600, 600)),
    ],
)
def test_input_size(size, geometry, expected):
    assert geometry.size(*size) == expected


def test_resize_gives_the_scale_of_each_axis():
    resized, (sx, sy) = Geometry(square=224).resize(np.zeros((100, 448, 3), np.uint8))
    assert resized.shape == (224, 224, 3) and (sx, sy) == (0.5, 2.24)


def test_settings_that_cannot_work():
    with pytest.raises(RecipeError, match="shorter is 3"):
        Geometry(shorter=3)
    with pytest.raises(RecipeError, match="shorter is None"):
        Geometry(shorter=None)
    with pytest.raises(RecipeError, match="at least shorter"):
        Geometry(shorter=600, longer=500)
