import math

import numpy as np
import pytest
import torch

from fastrcnn.errors import RecipeError
from fastrcnn.model import Resize
from fastrcnn.training.augment import Augmentation, View, whole_view


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(seed: int = 0) -> np.ndarray:
    return random(seed).integers(40, 200, (6, 8, 3), np.uint8)


def test_without_anything_to_draw_nothing_changes():
    nothing = Augmentation()
    assert not nothing.augments
    resize = Resize(shorter=400, longer=667)
    assert nothing.at_scale(resize, random()) == resize
    assert nothing.view(resize, 300, 500, random()) == whole_view(resize, 300, 500)
    assert nothing.recolour(picture(), random()).tolist() == picture().tolist()


@pytest.mark.parametrize(
    "setting", [{"scales": (40,)}, {"colour_jitter": 0.1}, {"zoom_out": 0.9}, {"zoom_in": 1.5}]
)
def test_anything_to_draw_augments(setting):
    assert Augmentation(**setting).augments


def test_every_scale_is_drawn_and_the_limit_of_the_longer_side_goes_with_it():
    draw = random()
    augmentation = Augmentation(scales=(200, 400, 600))
    made = {augmentation.at_scale(Resize(shorter=400, longer=668), draw) for _ in range(50)}
    assert made == {
        Resize(shorter=200, longer=334),
        Resize(shorter=400, longer=668),
        Resize(shorter=600, longer=1002),
    }


# Views


def test_a_whole_view_is_the_picture_as_it_is_resized_for_detection():
    resize = Resize(shorter=32, longer=64)
    image = random().integers(0, 256, (40, 60, 3), np.uint8)
    view = whole_view(resize, 40, 60)
    expected, (sx, sy) = resize.resize(image)
    assert view.render(image).tolist() == expected.tolist()
    boxes = torch.tensor([[3.0, 4, 50, 30]])
    assert torch.allclose(view.to_input(boxes), boxes * torch.tensor([sx, sy, sx, sy]))


def test_a_view_by_hand():
    # The middle 20 x 10 pixels, three times as wide and twice as high, 5 to the right and 7 down.
    view = View((10, 20, 30, 30), (5, 7, 65, 27), (50, 100))
    boxes = torch.tensor([[12.0, 20, 20, 25], [0, 0, 20, 25], [40, 40, 50, 50]])
    cut, share = view.cut(boxes)
    assert cut.tolist() == [[12, 20, 20, 25], [10, 20, 20, 25], [30, 30, 30, 30]]
    assert share.tolist() == pytest.approx([1, 50 / 500, 0])
    assert view.to_input(cut[:2]).tolist() == [[11, 7, 35, 17], [5, 7, 35, 17]]
    image = np.zeros((60, 60, 3), np.uint8)
    image[20:25, 12:20] = 255
    pixels = view.render(image)
    assert pixels.shape == (20, 60, 3)
    assert pixels[1:9, 8:28].min() > 200 and pixels[12:].max() == 0


KINDS = {
    "zoom out": {"zoom_out": 0.4, "zoom_out_share": 1.0, "zoom_in_share": 0.0},
    "zoom in": {"zoom_in": 3.0, "zoom_in_share": 1.0, "zoom_out_share": 0.0},
    "aspect": {"aspect_jitter": 0.7, "aspect_share": 1.0},
    "all": {"zoom_out": 0.4, "zoom_in": 3.0, "aspect_jitter": 0.7},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_painted_rectangle_stays_in_its_box(kind: str):
    """Where the paint lies after rendering is where the box says, to a pixel of the input."""
    augmentation, resize = Augmentation(**KINDS[kind]), Resize(shorter=90, longer=160)
    checked = 0
    for seed in range(60):
        draw = random(seed)
        x1, y1 = draw.integers(0, 80), draw.integers(0, 60)
        x2, y2 = x1 + draw.integers(20, 70), y1 + draw.integers(20, 60)
        image = np.zeros((120, 150, 3), np.uint8)
        image[y1:y2, x1:x2] = 255
        box = torch.tensor([[x1, y1, min(x2, 150), min(y2, 120)]], dtype=torch.float32)
        view = augmentation.view(resize, 120, 150, draw)
        left, top, right, bottom = view.place
        assert 0 <= left < right <= view.size[1] and 0 <= top < bottom <= view.size[0]
        canvas = np.zeros((*view.size, 3), np.uint8)
        canvas[top:bottom, left:right] = view.render(image)
        cut, share = view.cut(box)
        rows, columns = np.nonzero(canvas[:, :, 0] > 127)
        painted = (image[view.crop[1] : view.crop[3], view.crop[0] : view.crop[2]] > 0).sum() / 3
        assert share.item() == pytest.approx(painted / (image > 0).sum() * 3)
        if share.item() < 0.05:
            continue
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # A pixel of the picture may be several of the input, which interpolation shares out.
        scale = max((right - left) / (view.crop[2] - view.crop[0]), 1)
        assert view.to_input(cut)[0].tolist() == pytest.approx(found, abs=scale)
        checked += 1
    assert checked > 40


def test_zooms_and_stretches_are_as_drawn():
    resize = Resize(shorter=100, longer=200)

    def scales(**settings) -> list[tuple[float, float]]:
        augmentation = Augmentation(**settings)
        found = []
        for seed in range(1500):
            view = augmentation.view(resize, 100, 150, random(seed))
            (x1, y1, x2, y2), (left, top, right, bottom) = view.crop, view.place
            found.append(((right - left) / (x2 - x1), (bottom - top) / (y2 - y1)))
        return found

    zoomed = scales(**{**KINDS["zoom out"], "zoom_in_share": 0.0})
    assert 0.39 < min(x for x, _ in zoomed) < 0.45 and 0.95 < max(x for x, _ in zoomed) <= 1
    assert all(x == pytest.approx(y, rel=0.03) for x, y in zoomed)
    zoomed = scales(**KINDS["zoom in"])
    assert 1 <= min(x for x, _ in zoomed) < 1.1 and 2.8 < max(x for x, _ in zoomed) < 3.1
    stretched = [math.log(x / y) for x, y in scales(**KINDS["aspect"])]
    assert -0.75 < min(stretched) < -0.6 and 0.6 < max(stretched) < 0.75
    shares = scales(zoom_out=0.5, zoom_in=2.0)
    assert np.mean([x < 0.99 for x, _ in shares]) == pytest.approx(0.35, abs=0.04)
    assert np.mean([x > 1.01 for x, _ in shares]) == pytest.approx(0.25, abs=0.04)


def test_more_zooms_than_pictures_are_refused():
    with pytest.raises(RecipeError, match="add up to 1"):
        Augmentation(zoom_out_share=0.6, zoom_in_share=0.6)


# Colours


def test_colours_change_and_what_is_drawn_decides_how():
    recolour = Augmentation(colour_jitter=0.3).recolour
    first = recolour(picture(), random(1))
    assert first.shape == (6, 8, 3)
    assert first.dtype == np.uint8
    assert first.tolist() != picture().tolist()
    assert first.tolist() == recolour(picture(), random(1)).tolist()
    assert first.tolist() != recolour(picture(), random(2)).tolist()


def test_the_colours_of_a_share_of_the_pictures_change():
    recolour = Augmentation(colour_jitter=0.3, colour_share=0.5).recolour
    changed = [not np.array_equal(recolour(picture(), random(i)), picture()) for i in range(200)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.12)


def test_brightness_contrast_and_saturation_by_hand():
    image = np.array([[[100, 100, 100], [100, 50, 50]]], np.uint8)
    jitter = Augmentation(colour_jitter=0.5)
    for seed in range(5):
        draw = random(seed)
        draw.random()  # whether the colours change at all
        brightness, contrast, saturation = draw.uniform(0.5, 1.5, 3)
        greys = [100.0, 0.299 * 100 + 0.587 * 50 + 0.114 * 50]
        mean = brightness * sum(greys) / 2
        expected = [
            mean + contrast * (brightness * (grey + saturation * (value - grey)) - mean)
            for pixel, grey in zip(image[0].tolist(), greys, strict=True)
            for value in pixel
        ]
        found = jitter.recolour(image, random(seed)).ravel().tolist()
        assert found == pytest.approx(np.clip(expected, 0, 255), abs=1)


@pytest.mark.parametrize("colour", [0.1, 0.3])
def test_a_grey_picture_stays_grey_and_is_no_brighter_than_drawn(colour: float):
    grey = np.full((5, 4, 3), 100, np.uint8)
    for seed in range(20):
        changed = Augmentation(colour_jitter=colour).recolour(grey, random(seed)).astype(int)
        assert np.ptp(changed) <= 1
        # A flat picture has no contrast and no colour to change: only the light does.
        assert 100 * (1 - colour) - 2 <= changed.min() <= changed.max() <= 100 * (1 + colour) + 2
