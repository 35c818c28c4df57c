"""Greedy grouping: the two most similar neighbours merge until one region is left.

A hierarchy over N segments has 2N-1 nodes: the segments first, then one node per merge, in order.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrcnn.proposals.compiled import compiled
from fastrcnn.proposals.segments import COLOUR_BINS, ORIENTATIONS, Segments

SIMILARITIES = {"C": "colour", "T": "texture", "S": "size", "F": "fill"}


@dataclass(frozen=True)
class Hierarchy:
    """One run of the grouping. Everything is kept so that it can be shown.

    colour_space, threshold, strategy: the settings of the run. "CTSF" sums all four similarities.
    labels: (h, w) int32, the N starting segments at working size.
    merges: (N-1, 2), the two nodes that merge m joined into node N + m.
    similarities: (N-1, 4) of those two: colour, texture, size, fill, also those that the strategy
    did not sum.
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

    strategy: one or more of the letters C, T, S, F. The similarity is the sum of the ones it names
    (equation 6 of Uijlings et al.). Between equal pairs, the lower node numbers win.
    Returns merges (N-1, 2), similarities (N-1, 4), boxes (2N-1, 4) and sizes (2N-1,), the last two
    in working pixels.
    """
    summed = np.array([letter in strategy for letter in SIMILARITIES])
    count = len(segments.sizes)
    nodes = 2 * count - 1
    # A merged region gets the sum of its parts' sizes and histograms, and the box around both.
    sizes, boxes, colour, texture = (
        np.concatenate([table, np.zeros((nodes - count, *table.shape[1:]), table.dtype)])
        for table in (segments.sizes, segments.boxes, segments.colour, segments.texture)
    )
    regions = (float(segments.labels.size), sizes, boxes, colour, texture)
    pairs = segments.pairs.copy()
    similarities = _compare(pairs, *regions)
    merges = np.empty((count - 1, 2), np.int64)
    _merge(pairs, similarities, summed, *regions, np.zeros(nodes, np.int64), merges)
    return merges, _compare(merges, *regions), boxes.astype(np.float32), sizes


def _compare(pairs: np.ndarray, *regions: Any) -> np.ndarray:
    """The similarities (P, 4) of pairs of regions (P, 2): colour, texture, size, fill."""
    table = np.empty((len(pairs), 4))
    _compare_pairs(pairs, *regions, table)
    return table


@compiled
def _compare_pairs(
    pairs: np.ndarray,
    area: float,
    sizes: np.ndarray,
    boxes: np.ndarray,
    colour: np.ndarray,
    texture: np.ndarray,
    table: np.ndarray,
) -> None:
    for p in range(len(pairs)):
        _similarities(pairs[p, 0], pairs[p, 1], area, sizes, boxes, colour, texture, table[p])


@compiled
def _merge(
    pairs: np.ndarray,
    similarities: np.ndarray,
    summed: np.ndarray,
    area: float,
    sizes: np.ndarray,
    boxes: np.ndarray,
    colour: np.ndarray,
    texture: np.ndarray,
    seen: np.ndarray,
    merges: np.ndarray,
) -> None:
    """Write `merges`, and add the measurements of merged regions to the tables.

    pairs: the neighbours; only the first `live` are still valid. Each merge looks at all of them.
    With a few hundred regions a cleverer queue would not be faster. seen: for each region, the last
    merged region that it was found to be a neighbour of.
    """
    live = len(pairs)
    for merge in range(len(merges)):
        best, most = 0, _total(similarities[0], summed)
        for p in range(1, live):
            total = _total(similarities[p], summed)
            if total > most or (
                total == most and (pairs[p, 0], pairs[p, 1]) < (pairs[best, 0], pairs[best, 1])
            ):
                best, most = p, total
        a, b = pairs[best, 0], pairs[best, 1]
        merges[merge, 0], merges[merge, 1] = a, b
        new = len(merges) + 1 + merge
        sizes[new] = sizes[a] + sizes[b]
        for side in range(2):
            boxes[new, side] = min(boxes[a, side], boxes[b, side])
            boxes[new, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])
        for i in range(colour.shape[1]):
            colour[new, i] = colour[a, i] + colour[b, i]
        for i in range(texture.shape[1]):
            texture[new, i] = texture[a, i] + texture[b, i]
        seen[a] = seen[b] = new
        p = 0
        while p < live:
            low, high = pairs[p, 0], pairs[p, 1]
            if low in (a, b):
                other = high
            elif high in (a, b):
                other = low
            else:
                p += 1
                continue
            if seen[other] != new:
                seen[other] = new
                pairs[p, 0], pairs[p, 1] = other, new
                _similarities(other, new, area, sizes, boxes, colour, texture, similarities[p])
                p += 1
            else:  # the merged pair itself, or a neighbour of both that is already in the list
                live -= 1
                for side in range(2):
                    pairs[p, side] = pairs[live, side]
                for i in range(4):
                    similarities[p, i] = similarities[live, i]


@compiled
def _total(four: np.ndarray, summed: np.ndarray) -> float:
    total = 0.0
    for i in range(4):
        if summed[i]:
            total += four[i]
    return total


@compiled
def _similarities(
    a: int,
    b: int,
    area: float,
    sizes: np.ndarray,
    boxes: np.ndarray,
    colour: np.ndarray,
    texture: np.ndarray,
    four: np.ndarray,
) -> None:
    """Write colour, texture, size and fill into `four`: equations 2 to 5 of Uijlings et al."""
    both = sizes[a] + sizes[b]
    width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
    height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
    planes = colour.shape[1] // COLOUR_BINS
    four[0] = _shared(colour, a, b, sizes) / planes
    four[1] = _shared(texture, a, b, sizes) / (planes * ORIENTATIONS)
    four[2] = 1 - both / area
    four[3] = 1 - (width * height - both) / area


# Whole numbers below 2^53 have the same sum in any order, so several may be added at a time.
@compiled(fastmath={"reassoc", "nnan", "nsz"})
def _shared(counts: np.ndarray, a: int, b: int, sizes: np.ndarray) -> float:
    """The intersection of two regions' histograms, each divided by the region's size."""
    size_a, size_b = float(sizes[a]), float(sizes[b])
    shared = 0.0
    for i in range(counts.shape[1]):
        shared += min(counts[a, i] * size_b, counts[b, i] * size_a)
    return shared / (size_a * size_b)


def group_reference(
    segments: Segments, strategy: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same as `group`, with Python's own sets and queue. Written to be read; it is slow."""
    area = float(segments.labels.size)
    sizes = segments.sizes.tolist()
    boxes = segments.boxes.tolist()
    colour, texture = list(segments.colour), list(segments.texture)
    planes = segments.colour.shape[1] // COLOUR_BINS
    merges: list[tuple[int, int]] = []
    similarities: list[list[float]] = []

    def shared(a: int, b: int, counts: list[np.ndarray]) -> float:
        both = np.minimum(counts[a] * np.int64(sizes[b]), counts[b] * np.int64(sizes[a]))
        return float(both.sum()) / (float(sizes[a]) * sizes[b])

    def around(a: int, b: int) -> list[int]:
        lows = (min(boxes[a][side], boxes[b][side]) for side in (0, 1))
        highs = (max(boxes[a][side], boxes[b][side]) for side in (2, 3))
        return [*lows, *highs]

    def four(a: int, b: int) -> list[float]:
        both = sizes[a] + sizes[b]
        x1, y1, x2, y2 = around(a, b)
        return [
            shared(a, b, colour) / planes,
            shared(a, b, texture) / (planes * ORIENTATIONS),
            1 - both / area,
            1 - ((x2 - x1) * (y2 - y1) - both) / area,
        ]

    def entry(a: int, b: int) -> tuple[float, int, int]:
        named = zip(SIMILARITIES, four(a, b), strict=True)
        return -sum(value for letter, value in named if letter in strategy), a, b

    neighbours: dict[int, set[int]] = {node: set() for node in range(len(sizes))}
    for a, b in segments.pairs.tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    queue = [entry(a, b) for a, b in segments.pairs.tolist()]
    heapq.heapify(queue)
    while queue:
        _, a, b = heapq.heappop(queue)
        if a not in neighbours or b not in neighbours:  # merged already
            continue
        new = len(sizes)
        merges.append((a, b))
        similarities.append(four(a, b))
        boxes.append(around(a, b))
        sizes.append(sizes[a] + sizes[b])
        colour.append(colour[a] + colour[b])
        texture.append(texture[a] + texture[b])
        neighbours[new] = (neighbours.pop(a) | neighbours.pop(b)) - {a, b}
        for other in neighbours[new]:
            neighbours[other] = neighbours[other] - {a, b} | {new}
            heapq.heappush(queue, entry(other, new))
    return (
        np.array(merges, np.int64).reshape(-1, 2),
        np.array(similarities).reshape(-1, 4),
        np.array(boxes, np.float32),
        np.array(sizes, np.int64),
    )
