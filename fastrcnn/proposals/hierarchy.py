"""Greedy grouping: the two most similar neighbours merge until one region is left.

A hierarchy over N segments has 2N-1 nodes: the segments first, then one node a merge, in order.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from fastrcnn.proposals.segments import Segments

SIMILARITIES = {"C": "colour", "T": "texture", "S": "size", "F": "fill"}


@dataclass(frozen=True)
class Hierarchy:
    """One run of the grouping, kept whole so that it can be shown.

    colour_space, threshold, strategy: what it was run with; "CTSF" sums all four similarities.
    labels: (h, w) int32, the N starting segments at working size.
    merges: (N-1, 2), the two nodes that merge m joined into node N + m.
    similarities: (N-1, 4) of those two: colour, texture, size, fill, whichever of them the
    strategy summed.
    boxes: (2N-1, 4) float32 xyxy of every node, in pixels of the picture.
    sizes: (2N-1,) pixels at working size.
    """

    colour_space: str
    threshold: float
    strategy: str
    labels: np.ndarray
    merges: np.ndarray
    similarities: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray


def group(
    segments: Segments, strategy: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Merge the most similar neighbours until one region is left.

    strategy: letters of C, T, S, F; the similarity is the sum of those it names (equation 6 of
    Uijlings et al.). Ties go to the pair with the lower node numbers.
    Returns merges (N-1, 2), similarities (N-1, 4), boxes (2N-1, 4) and sizes (2N-1,), the last two
    in working pixels.
    """
    count = len(segments.sizes)
    nodes = 2 * count - 1
    area = float(segments.labels.size)
    colours = segments.colour.shape[1]
    histograms = np.zeros((nodes, colours + segments.texture.shape[1]), np.float32)
    histograms[:count, :colours] = segments.colour
    histograms[:count, colours:] = segments.texture
    # Colour and texture similarity are both sums of minima: side by side they are one sum.
    compared = histograms[
        :, (0 if "C" in strategy else colours) : (None if "T" in strategy else colours)
    ]
    boxes = segments.boxes.tolist()
    sizes = segments.sizes.tolist()
    merges: list[tuple[int, int]] = []

    # Size and fill of a pair, on plain numbers: for a handful of neighbours faster than arrays.
    def geometry(a: int, b: int) -> float:
        both = sizes[a] + sizes[b]
        similarity = 0.0
        if "S" in strategy:
            similarity += 1 - both / area
        if "F" in strategy:
            x1, y1, x2, y2 = _around(boxes[a], boxes[b])
            similarity += 1 - ((x2 - x1) * (y2 - y1) - both) / area
        return similarity

    pairs = segments.pairs.tolist()
    appearance = _shared(compared[segments.pairs[:, 0]], compared[segments.pairs[:, 1]])
    queue = [
        (-s - geometry(a, b), a, b) for s, (a, b) in zip(appearance.tolist(), pairs, strict=True)
    ]
    heapq.heapify(queue)
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for a, b in pairs:
        neighbours[a].add(b)
        neighbours[b].add(a)
    gone = [False] * nodes

    while queue:
        _, a, b = heapq.heappop(queue)
        if gone[a] or gone[b]:
            continue
        new = count + len(merges)
        merges.append((a, b))
        gone[a] = gone[b] = True
        boxes.append(_around(boxes[a], boxes[b]))
        sizes.append(sizes[a] + sizes[b])
        share = sizes[a] / sizes[new]
        histograms[new] = share * histograms[a] + (1 - share) * histograms[b]

        beside = (neighbours[a] | neighbours[b]) - {a, b}
        neighbours.append(beside)
        if not beside:
            break
        others = sorted(beside)
        appearance = _shared(compared[others], compared[new])
        for other, s in zip(others, appearance.tolist(), strict=True):
            neighbours[other] -= {a, b}
            neighbours[other].add(new)
            heapq.heappush(queue, (-s - geometry(other, new), other, new))

    merge_table = np.array(merges, np.int64).reshape(-1, 2)
    box_table = np.array(boxes, np.float32).reshape(-1, 4)
    size_table = np.array(sizes, np.int64)
    a, b = merge_table.T
    both = size_table[a] + size_table[b]
    joined = box_table[count:]
    box_area = (joined[:, 2] - joined[:, 0]) * (joined[:, 3] - joined[:, 1])
    similarities = np.stack(
        [
            _shared(histograms[a, :colours], histograms[b, :colours]),
            _shared(histograms[a, colours:], histograms[b, colours:]),
            1 - both / area,
            1 - (box_area - both) / area,
        ],
        axis=1,
    )
    return merge_table, similarities, box_table, size_table


def _shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Histogram intersection, row by row."""
    return np.minimum(first, second).sum(axis=1)


def _around(a: list[int], b: list[int]) -> list[int]:
    """The smallest box around two."""
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
