import cv2
import numpy as np
import pytest

from fastrcnn.images import load_image
from fastrcnn.proposals.segments import (
    COLOUR_SPACES,
    Segments,
    histogram_bins,
    measure,
    segment,
    segment_reference,
    sorted_edges,
)


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    """A few flat rectangles with a little noise."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), 90, np.uint8)
    for _ in range(6):
        y, x = random.integers(0, height - 8), random.integers(0, width - 8)
        image[y : y + 12, x : x + 16] = random.integers(0, 256, 3)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def photograph(name: str, longer: int) -> np.ndarray:
    image = load_image(f"assets/{name}.jpg")
    scale = longer / max(image.shape)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


DEGENERATE = {
    "one pixel": np.full((1, 1, 3), 5, np.uint8),
    "flat": np.full((12, 17, 3), 200, np.uint8),
    "flat but for one": np.pad(np.full((1, 1, 3), 255, np.uint8), ((5, 6), (7, 3), (0, 0))),
    "a row": noise(1, 50),
    "a column": noise(50, 1),
    "two columns": noise(30, 2),
    "noise": noise(24, 31),
    "noise of one channel": noise(24, 31, 1),
    "black and white": np.indices((16, 16)).sum(axis=0, keepdims=True).T % 2 * np.uint8(255),
}
DEGENERATE["black and white"] = DEGENERATE["black and white"].astype(np.uint8)
PICTURES = DEGENERATE | {
    "rectangles": picture(1),
    "cow": photograph("cow", 64),
    "horses": photograph("horses", 64),
    "astronaut": photograph("astronaut", 48),
}


def segmented(
    pixels: np.ndarray, threshold: float = 50, sigma: float = 0.8, min_size: int = 20
) -> np.ndarray:
    return segment(sorted_edges(pixels, sigma), threshold, min_size)


def measured(labels: np.ndarray, pixels: np.ndarray) -> Segments:
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


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    ("sigma", "threshold", "min_size"), [(0.8, 50, 20), (0, 300, 1), (1, 3, 5)]
)
def test_segments_equal_the_slow_ones_pixel_by_pixel(name, sigma, threshold, min_size):
    edges = sorted_edges(PICTURES[name], sigma)
    found = segment(edges, threshold, min_size)
    assert found.dtype == np.int32
    assert np.array_equal(found, segment_reference(edges, threshold, min_size))


def test_a_hand_worked_segmentation():
    # Weights 1, 9 and 1 grey levels; with k = 6 two pixels hold together at up to 1 + 6 / 2 = 4.
    pixels = np.array([[[0], [1], [10], [11]]], np.uint8)
    assert segmented(pixels, 6, sigma=0, min_size=1).tolist() == [[0, 0, 1, 1]]
    assert segmented(pixels, 16, sigma=0, min_size=1).tolist() == [[0, 0, 0, 0]]
    assert segmented(pixels, 6, sigma=0, min_size=3).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sigma", [0, 0.8])
def test_edges_against_a_slow_walk(name, sigma):
    pixels = PICTURES[name]
    height, width, _ = pixels.shape
    smooth = pixels.astype(np.float32)
    if sigma:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma).reshape(pixels.shape)
    slow = {}
    for y in range(height):
        for x in range(width):
            if x + 1 < width:
                slow[2 * (y * width + x)] = np.linalg.norm(smooth[y, x] - smooth[y, x + 1])
            if y + 1 < height:
                slow[2 * (y * width + x) + 1] = np.linalg.norm(smooth[y, x] - smooth[y + 1, x])
    edges = sorted_edges(pixels, sigma)
    assert sorted(edges.order.tolist()) == sorted(slow)
    np.testing.assert_allclose(edges.weights, [slow[e] for e in edges.order.tolist()], rtol=1e-5)
    # Sorted, but for what differs by a 2,000th or lies below a 1,000th of a grey level.
    assert (
        edges.weights[1:] >= np.maximum.accumulate(edges.weights)[:-1] * (1 - 1 / 1024) - 1e-3
    ).all()


@pytest.mark.parametrize("name", ["cow", "horses", "astronaut", "chelsea", "sheep", "kitten"])
@pytest.mark.parametrize("threshold", [50, 100])
def test_segments_are_about_those_of_opencv(name, threshold):
    module = pytest.importorskip("cv2.ximgproc", reason="needs OpenCV's contrib build").segmentation
    pixels = COLOUR_SPACES["Lab"](photograph(name, 500))
    ours = segmented(pixels, threshold, 0.8, threshold)
    theirs = module.createGraphSegmentation(0.8, threshold, threshold).processImage(pixels)
    assert ours.max() == pytest.approx(theirs.max(), rel=0.1)
    # Most of the picture lies in segments that both find.
    agreeing = 0
    for label in range(ours.max() + 1):
        inside = ours == label
        other = theirs == np.bincount(theirs[inside]).argmax()
        overlap = (inside & other).sum() / (inside | other).sum()
        agreeing += inside.sum() * (overlap >= 0.5)
    assert agreeing / ours.size > 0.9


def test_labels_have_no_gaps():
    labels = segmented(picture(1))
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert labels.max() > 1


@pytest.mark.parametrize("name", PICTURES)
def test_sizes_boxes_and_histograms_against_a_slow_count(name):
    image = PICTURES[name]
    labels = segmented(image)
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
            slow = [
                np.histogram(bins[ys, xs, plane], bins=np.arange(count + 1))[0]
                for plane in range(bins.shape[2])
            ]
            assert table[label].tolist() == np.concatenate(slow).tolist()


@pytest.mark.parametrize("name", PICTURES)
def test_neighbours_against_a_slow_walk(name):
    labels = segmented(PICTURES[name])
    slow = set()
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy < height and x + dx < width:
                    a, b = int(labels[y, x]), int(labels[y + dy, x + dx])
                    if a != b:
                        slow.add((min(a, b), max(a, b)))
    found = measured(labels, PICTURES[name]).pairs
    assert [tuple(pair) for pair in found.tolist()] == sorted(slow)


def test_a_vertical_edge_has_texture_in_the_direction_it_rises():
    image = np.zeros((20, 20, 1), np.uint8)
    image[:, 10:] = 200
    _, texture = histogram_bins(image)
    # Eight directions, counter-clockwise from "brighter to the right".
    strength = texture.reshape(-1, 8).sum(axis=0)
    assert strength.argmax() == 0
    assert strength[4] == 0 and strength[2] == 0
    assert 0 < strength[1] == strength[7] < strength[0]


def test_a_flat_picture_has_no_texture():
    flat = np.full((8, 8, 3), 128, np.uint8)
    segments = measured(np.zeros((8, 8), np.int32), flat)
    assert segments.pairs.shape == (0, 2)
    assert (segments.texture.reshape(1, 24, 10)[..., 0] == 64).all()
    assert (segments.texture.reshape(1, 24, 10)[..., 1:] == 0).all()
