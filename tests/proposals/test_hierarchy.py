import numpy as np
import pytest

from fastrcnn.proposals.hierarchy import group, group_reference
from fastrcnn.proposals.segments import histogram_bins, measure
from tests.proposals.test_segments import DEGENERATE, measured, photograph, picture, segmented

PICTURES = DEGENERATE | {name: photograph(name, 80) for name in ("cow", "horses", "chelsea")}


@pytest.mark.parametrize("strategy", ["CTSF", "TSF", "C", "T", "S", "F", "CF"])
@pytest.mark.parametrize("name", PICTURES)
def test_grouping_equals_the_pure_python_one_merge_by_merge(name, strategy):
    segments = measured(segmented(PICTURES[name], 20, 0.8, 4), PICTURES[name])
    for fast, slow in zip(
        group(segments, strategy), group_reference(segments, strategy), strict=True
    ):
        assert fast.dtype == slow.dtype and np.array_equal(fast, slow)


def test_similarities_and_boxes_are_those_of_the_regions_that_were_joined():
    image = picture(0, 50, 70)
    labels = segmented(image, 20, 0.8, 15)
    segments = measured(labels, image)
    merges, similarities, boxes, sizes = group(segments, "CTSF")
    assert len(merges) == len(segments.sizes) - 1 > 8
    bins = histogram_bins(image)
    regions = [labels == label for label in range(len(segments.sizes))]
    for (a, b), (colour, texture, size, fill) in zip(merges, similarities, strict=True):
        joined = regions[a] | regions[b]
        ys, xs = np.nonzero(joined)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert boxes[len(regions)].tolist() == box and sizes[len(regions)] == len(ys)
        for planes, similarity in zip(bins, (colour, texture), strict=True):
            shared = 0.0  # equations 2 and 3 of Uijlings et al., plane by plane
            for plane in range(planes.shape[2]):
                first, second = (
                    np.bincount(planes[region, plane], minlength=25) / region.sum()
                    for region in (regions[a], regions[b])
                )
                shared += np.minimum(first, second).sum() / planes.shape[2]
            assert similarity == pytest.approx(shared)
        assert size == pytest.approx(1 - len(ys) / labels.size)
        area = (box[2] - box[0]) * (box[3] - box[1])
        assert fill == pytest.approx(1 - (area - len(ys)) / labels.size)
        regions.append(joined)


def test_a_hand_worked_merge():
    # Three columns of 2, 2 and 4 pixels' width: black, black-ish (same bin), white.
    labels = np.repeat(np.array([[0, 0, 1, 1, 2, 2, 2, 2]], np.int32), 4, axis=0)
    pixels = np.where(labels < 2, 0, 255).astype(np.uint8)[..., None]
    flat_texture = np.zeros((4, 8, 8), np.uint8)
    segments = measure(labels, histogram_bins(pixels)[0], flat_texture)
    merges, similarities, boxes, sizes = group(segments, "CTSF")
    assert merges.tolist() == [[0, 1], [2, 3]]
    # Same colour, same texture, 16 of 32 pixels, no empty space in the joint box.
    np.testing.assert_allclose(similarities, [[1, 1, 0.5, 1], [0, 1, 0, 1]], atol=1e-6)
    assert boxes[3:].tolist() == [[0, 0, 4, 4], [0, 0, 8, 4]]
    assert sizes.tolist() == [8, 8, 16, 16, 32]


def test_one_segment_needs_no_merge():
    flat = np.full((5, 5, 3), 9, np.uint8)
    merges, similarities, boxes, sizes = group(measured(np.zeros((5, 5), np.int32), flat), "CTSF")
    assert merges.shape == (0, 2) and similarities.shape == (0, 4)
    assert boxes.tolist() == [[0, 0, 5, 5]] and sizes.tolist() == [25]
