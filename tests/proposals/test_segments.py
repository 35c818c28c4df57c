import numpy as np
import pytest

from fastrcnn.proposals.segments import (
    COLOUR_SPACES,
    histogram_bins,
    measure,
    segment,
)


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    """A few flat rectangles with a little noise."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(6):
        y, x = random.integers(0, height - 8), random.integers(0, width - 8)
        image[y : y + 12, x : x + 16] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def measured(labels: np.ndarray, pixels: np.ndarray):
    return measure(labels, *histogram_bins(pixels))


@pytest.mark.parametrize("space", COLOUR_SPACES)
def test_every_colour_space_is_bytes_with_a_channel_axis(space):
    pixels = COLOUR_SPACES[space](picture(0))
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == (40, 60) and pixels.ndim == 3
    assert pixels.shape[2] == (1 if space in ("H", "I") else 3)


def test_rgi_ignores_brightness_in_its_first_two_channels():
    dark = np.array([[[20, 40, 60]]], np.uint8)
    first, second = COLOUR_SPACES["rgI"](dark), COLOUR_SPACES["rgI"](dark * 4)
    assert (first[..., :2] == second[..., :2]).all()
    assert first[0, 0, 2] == 40 and second[0, 0, 2] == 160


def test_labels_have_no_gaps():
    labels = segment(picture(1), 50, 0.8, 20)
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert labels.max() > 1


def test_sizes_boxes_and_histograms_against_a_slow_count():
    image = picture(2)
    labels = segment(image, 50, 0.8, 20)
    colour_bins, texture_bins = histogram_bins(image)
    segments = measure(labels, colour_bins, texture_bins)
    for label in range(labels.max() + 1):
        ys, xs = np.nonzero(labels == label)
        assert segments.sizes[label] == len(ys)
        assert segments.boxes[label].tolist() == [
            xs.min(),
            ys.min(),
            xs.max() + 1,
            ys.max() + 1,
        ]
        for table, bins, count in (
            (segments.colour, colour_bins, 25),
            (segments.texture, texture_bins, 10),
        ):
            slow = np.concatenate(
                [np.histogram(plane[ys, xs], bins=np.arange(count + 1))[0] for plane in bins]
            )
            np.testing.assert_allclose(table[label], slow / slow.sum(), rtol=1e-5)


def test_neighbours_against_a_slow_walk():
    labels = segment(picture(3), 50, 0.8, 20)
    slow = set()
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy < height and x + dx < width:
                    a, b = int(labels[y, x]), int(labels[y + dy, x + dx])
                    if a != b:
                        slow.add((min(a, b), max(a, b)))
    found = measured(labels, picture(3)).pairs
    assert [tuple(pair) for pair in found.tolist()] == sorted(slow)


def test_a_vertical_edge_has_texture_in_the_direction_it_rises():
    image = np.zeros((20, 20, 1), np.uint8)
    image[:, 10:] = 200
    _, texture = histogram_bins(image)
    # Eight directions, counter-clockwise from "brighter to the right".
    strength = texture.reshape(8, -1).sum(axis=1)
    assert strength.argmax() == 0
    assert strength[4] == 0 and strength[2] == 0
    assert 0 < strength[1] == strength[7] < strength[0]


def test_a_flat_picture_has_no_texture():
    flat = np.full((8, 8, 3), 128, np.uint8)
    segments = measured(np.zeros((8, 8), np.int32), flat)
    assert segments.pairs.shape == (0, 2)
    assert (segments.texture.reshape(1, 24, 10)[..., 0] > 0).all()
    assert (segments.texture.reshape(1, 24, 10)[..., 1:] == 0).all()
