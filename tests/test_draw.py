import numpy as np
import pytest

from fastrcnn.detections import Detections
from fastrcnn.draw import PALETTE, class_colour, draw_boxes, draw_detections

CLASSES = tuple(f"class {number}" for number in range(1, 21))


def detections(*boxes, labels=None):
    count = len(boxes)
    labels = range(1, count + 1) if labels is None else labels
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.5, count, dtype=np.float32),
        labels=np.array(list(labels), np.int64),
        classes=CLASSES,
    )


def parts(found: Detections) -> tuple:
    """What `draw_detections` takes of them."""
    return found.boxes, found.labels, found.names, found.scores


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def where(picture, colour):
    return (picture == np.array(colour)).all(axis=2)


def contrast(colour, other):
    """The WCAG contrast ratio of two sRGB colours."""
    luminance = []
    for value in (colour, other):
        linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3294 for c in value]
        luminance.append(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return (max(luminance) + 0.05) / (min(luminance) + 0.05)


def test_a_box_is_drawn_along_its_edge_pixels():
    drawn = draw_boxes(grey(100, 120), np.array([[20, 30, 60, 80]]), [(255, 0, 0)])
    rows, columns = np.nonzero(where(drawn, (255, 0, 0)))
    assert abs(columns.min() - 20) <= 1
    assert abs(columns.max() - 59) <= 1
    assert abs(rows.min() - 30) <= 1
    assert abs(rows.max() - 79) <= 1
    assert (drawn[35:75, 25:55] == 128).all()
    assert (drawn[:26] == 128).all()


def test_the_first_box_lies_on_top():
    crossing = np.array([[10, 10, 50, 90], [5, 40, 60, 60]])
    red, blue = (255, 0, 0), (0, 0, 255)
    drawn = draw_boxes(grey(100, 100), crossing, [red, blue])
    assert drawn[40, 10].tolist() == list(red)
    drawn = draw_boxes(grey(100, 100), crossing[::-1], [blue, red])
    assert drawn[40, 10].tolist() == list(blue)


def test_one_colour_serves_all_boxes():
    drawn = draw_boxes(grey(100, 100), np.array([[5, 5, 20, 20], [50, 50, 90, 90]]))
    coloured = where(drawn, PALETTE[1])
    assert coloured[:30, :30].any()
    assert coloured[40:, 40:].any()


def test_each_class_has_its_colour_and_a_label_that_can_be_read():
    drawn = draw_detections(
        grey(400, 600), *parts(detections([50, 100, 250, 300], [320, 100, 500, 300], labels=(2, 5)))
    )
    assert class_colour(2) != class_colour(5)
    for x1, label in ((50, 2), (320, 5)):
        above = drawn[83:98, x1 : x1 + 80]
        assert where(above, class_colour(label)).any()
        lightness = above.mean(axis=2)
        dark, light = above[lightness < 40], above[lightness > 220]
        assert len(dark) > 0.3 * lightness.size
        assert len(light) > 20
        assert contrast(light[0], dark[0]) > 7  # WCAG AAA


@pytest.mark.parametrize("label", range(1, 8))
def test_a_line_stands_out_on_any_ground_by_its_rim(label):
    drawn = draw_boxes(grey(60, 60), np.array([[10, 10, 50, 50]]), [class_colour(label)])
    across = [tuple(colour) for colour in drawn[30, :20].tolist()]
    rim, *line, other_rim = [colour for colour in across if colour != (128, 128, 128)]
    assert rim == other_rim
    assert set(line) == {class_colour(label)}
    assert contrast(rim, class_colour(label)) > 3  # WCAG for graphics


def test_names_in_other_scripts_are_drawn_and_not_as_question_marks():
    found = detections([50, 100, 250, 300])
    drawn = [
        draw_detections(grey(400, 600), found.boxes, found.labels, [name], found.scores)
        for name in ("고양이", "개", "é", "?", "??", "???")
    ]
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)


def test_labels_keep_out_of_each_others_way():
    same = [[100, 100, 300, 300]] * 3
    both = draw_detections(grey(400, 400), *parts(detections(*same)))
    for label in (1, 2, 3):
        stripe = where(both, class_colour(label)).sum(axis=0).max()
        assert stripe >= 10


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 9), (40, 40), (12, 900)])
def test_every_size_and_wild_boxes_are_fine(size):
    height, width = size
    wild = detections(
        [0, 0, width, height],
        [-50, -1e9, 1e9, 1e9],
        [width / 2, height / 2, width / 2, height / 2],
        [width + 5, height + 5, width + 9, height + 9],
    )
    picture = grey(height, width)
    drawn = draw_detections(picture, *parts(wild))
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (picture == 128).all()


@pytest.mark.parametrize("side", [60, 200, 800, 2000])
def test_letters_are_in_proportion_and_never_tiny(side):
    drawn = draw_detections(grey(side, side), *parts(detections([0, 0, side, side])))
    rows, _ = np.nonzero(drawn.min(axis=2) > 200)
    height = rows.max() - rows.min() + 1
    assert height >= 8
    assert side * 0.015 <= height <= max(14, side * 0.05)


def test_nothing_found_changes_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for drawn in (
        draw_detections(picture, *parts(detections())),
        draw_boxes(picture, np.empty((0, 4))),
    ):
        assert np.array_equal(drawn, picture)
        assert drawn is not picture


def test_a_mirrored_view_can_be_drawn_on():
    picture = grey(50, 50)[:, ::-1]
    drawn = draw_detections(picture, *parts(detections([5, 5, 45, 45])))
    assert (drawn != 128).any()
    assert (picture == 128).all()
