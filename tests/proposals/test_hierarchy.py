import numpy as np
import pytest

from fastrcnn.proposals.hierarchy import group
from fastrcnn.proposals.segments import histogram_bins, measure, segment
from tests.proposals.test_segments import measured, picture


def slow_group(segments, strategy):
    """The grouping as the text tells it: at each step look at every pair of neighbours."""
    area = segments.labels.size
    regions = {
        i: (size, box, colour, texture)
        for i, (size, box, colour, texture) in enumerate(
            zip(
                segments.sizes.tolist(),
                segments.boxes.tolist(),
                segments.colour.astype(float),
                segments.texture.astype(float),
                strict=True,
            )
        )
    }
    pairs = {tuple(pair) for pair in segments.pairs.tolist()}
    merges, tables, boxes = [], [], segments.boxes.tolist()

    def four(a, b):
        (size_a, box_a, colour_a, texture_a), (size_b, box_b, colour_b, texture_b) = a, b
        box = joined(box_a, box_b)
        return {
            "C": np.minimum(colour_a, colour_b).sum(),
            "T": np.minimum(texture_a, texture_b).sum(),
            "S": 1 - (size_a + size_b) / area,
            "F": 1 - ((box[2] - box[0]) * (box[3] - box[1]) - size_a - size_b) / area,
        }

    def joined(a, b):
        return [*np.minimum(a[:2], b[:2]).tolist(), *np.maximum(a[2:], b[2:]).tolist()]

    while pairs:
        scores = {
            pair: {k: v for k, v in four(regions[pair[0]], regions[pair[1]]).items()}
            for pair in pairs
        }
        best = max(sorted(pairs), key=lambda pair: sum(scores[pair][k] for k in strategy))
        a, b = best
        new = len(boxes)
        size = regions[a][0] + regions[b][0]
        share = regions[a][0] / size
        box = joined(regions[a][1], regions[b][1])
        regions[new] = (
            size,
            box,
            share * regions[a][2] + (1 - share) * regions[b][2],
            share * regions[a][3] + (1 - share) * regions[b][3],
        )
        merges.append(best)
        tables.append([scores[best][k] for k in "CTSF"])
        boxes.append(box)
        touched = {other for pair in pairs if set(pair) & {a, b} for other in pair} - {a, b}
        pairs = {pair for pair in pairs if not set(pair) & {a, b}} | {(o, new) for o in touched}
    return np.array(merges), np.array(tables), np.array(boxes)


@pytest.mark.parametrize("strategy", ["CTSF", "TSF", "C", "T", "S", "F", "CF"])
@pytest.mark.parametrize("seed", [0, 1])
def test_grouping_equals_the_slow_one(strategy, seed):
    image = picture(seed, 50, 70)
    segments = measured(segment(image, 20, 0.8, 15), image)
    assert len(segments.sizes) > 8
    merges, similarities, boxes, sizes = group(segments, strategy)
    slow_merges, slow_similarities, slow_boxes = slow_group(segments, strategy)
    assert merges.tolist() == slow_merges.tolist()
    np.testing.assert_allclose(similarities, slow_similarities, atol=1e-5)
    assert boxes.tolist() == slow_boxes.tolist()
    assert sizes[-1] == segments.labels.size


def test_a_hand_worked_merge():
    # Three columns of 2, 2 and 4 pixels' width: black, black-ish (same bin), white.
    labels = np.repeat(np.array([[0, 0, 1, 1, 2, 2, 2, 2]], np.int32), 4, axis=0)
    pixels = np.where(labels < 2, 0, 255).astype(np.uint8)[..., None]
    flat_texture = np.zeros((8, 4, 8), np.uint8)
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
