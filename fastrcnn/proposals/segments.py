"""The starting regions of selective search, and their measurements.

h x w is the picture at working size, N the number of segments, E the number of edges between
neighbouring pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fastrcnn.proposals.compiled import compiled

COLOUR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8
# Gaussian derivatives of natural pictures are rarely larger than this (values are 0 to 255). Larger
# ones go into the last bin. If the range were not fixed, a single hard edge could squeeze all other
# values into one bin.
_STRONG_EDGE = 40.0
# Edges are sorted by a 16-bit number, for which NumPy has a radix sort. It is the upper bits of the
# squared weight as a float, counted from 2^-20. Weights that differ by a 2,000th stay distinct.
_LEAST_SQUARE = np.float32(2**-20)
_LOWER_BITS = 13


def _rgi(rgb: np.ndarray) -> np.ndarray:
    """Normalised red and green, and intensity."""
    values = rgb.astype(np.float32)
    total = np.maximum(values.sum(axis=2), 1)
    planes = [255 * values[..., 0] / total, 255 * values[..., 1] / total, total / 3]
    return np.stack(planes, axis=2).astype(np.uint8)


COLOUR_SPACES = {
    "HSV": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL),
    "Lab": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab),
    "rgI": _rgi,
    "H": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL)[..., :1],
    "I": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None],
}


@dataclass(frozen=True)
class Edges:
    """The edges between neighbouring pixels, smallest weight first.

    shape: (h, w). order: (E,) int32. Edge 2 p joins pixel p (row x w + column) to its neighbour on
    the right, edge 2 p + 1 to the one below. Edges of almost equal weight are in the order of these
    numbers. weights: (E,) float32, the distance between the two smoothed colours in grey levels.
    """

    shape: tuple[int, int]
    order: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Segments:
    """Felzenszwalb-Huttenlocher segments of a picture.

    labels: (h, w) int32, 0 ... N-1.
    sizes: (N,) pixels. boxes: (N, 4) xyxy, x2 and y2 exclusive, in working pixels.
    colour: (N, channels x 25), texture: (N, channels x 8 x 10), int32, how many pixels fall into
    each bin.
    pairs: (P, 2), segments that share an edge of a pixel, lower label first, sorted.
    """

    labels: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    pairs: np.ndarray


def histogram_bins(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bins that each pixel falls into: colour (h, w, channels), texture (h, w, channels x 8).

    pixels: (h, w, channels) uint8 in some colour space. Texture is the Gaussian derivative
    (sigma 1) in eight directions. Each direction keeps only positive values.
    """
    height, width, channels = pixels.shape
    angles = np.arange(ORIENTATIONS) * 2 * np.pi / ORIENTATIONS
    planes = []
    for channel in range(channels):
        smooth = cv2.GaussianBlur(pixels[..., channel].astype(np.float32), (0, 0), 1)
        scale = TEXTURE_BINS / _STRONG_EDGE
        right = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=scale / 2)
        down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=scale / 2)
        for angle in angles:
            rising = cv2.addWeighted(right, np.cos(angle), down, np.sin(angle), 0)
            planes.append(np.clip(rising, 0, TEXTURE_BINS - 1, out=rising).astype(np.uint8))
    colour = (pixels.astype(np.uint16) * COLOUR_BINS >> 8).astype(np.uint8)
    return colour, cv2.merge(planes).reshape(height, width, -1)


def sorted_edges(pixels: np.ndarray, sigma: float) -> Edges:
    """The edges of (h, w, channels) uint8 pixels, after smoothing by a Gaussian of `sigma` pixels.

    The segments for every threshold are made from these edges.
    """
    height, width, _ = pixels.shape
    smooth: np.ndarray = pixels.astype(np.float32)
    if sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma).reshape(pixels.shape)
    squares = np.full((height, width, 2), np.inf, np.float32)  # no neighbour: sorted to the end
    for direction in (0, 1):
        step = np.diff(smooth, axis=1 - direction)
        square: np.ndarray = np.einsum("yxc,yxc->yx", step, step)
        squares[: step.shape[0], : step.shape[1], direction] = square
    upper = (squares.view(np.int32).ravel() - _LEAST_SQUARE.view(np.int32)) >> _LOWER_BITS
    order = upper.clip(0, 2**16 - 1).astype(np.uint16).argsort(kind="stable").astype(np.int32)
    order = order[: squares.size - height - width]
    return Edges((height, width), order, np.sqrt(squares.ravel()[order]))


def segment(edges: Edges, threshold: float, min_size: int) -> np.ndarray:
    """(h, w) int32 labels, numbered 0 ... N-1 in the order of their first pixels.

    Felzenszwalb and Huttenlocher (IJCV 2004). Edges are visited from the smallest weight up. An
    edge joins two components if its weight is at most the limit of each. A component's limit is the
    largest weight inside it plus threshold / its number of pixels. threshold: their k; a larger one
    gives larger segments. Then components of fewer than `min_size` pixels are joined to the
    neighbour that differs least.
    """
    height, width = edges.shape
    count = height * width
    parent = np.arange(count, dtype=np.int32)
    sizes = np.ones(count, np.int32)
    limits = np.full(count, threshold, np.float64)
    between = np.empty(len(edges.order), np.int32)
    held = _join_similar(
        edges.order, edges.weights, width, threshold, parent, sizes, limits, between
    )
    _join_small(between[:held], width, min_size, parent, sizes)
    labels = np.empty(count, np.int32)
    _number(parent, labels)
    return labels.reshape(height, width)


@compiled
def _join_similar(
    order: np.ndarray,
    weights: np.ndarray,
    width: int,
    threshold: float,
    parent: np.ndarray,
    sizes: np.ndarray,
    limits: np.ndarray,
    between: np.ndarray,
) -> int:
    """The first pass. Writes the edges that joined nothing to `between`, and returns their number.

    parent: for each pixel another pixel of its component, with a lower number. The component's
    first pixel is its own parent. sizes, limits: at the first pixel, the component's size and its
    limit, the largest weight that may still join it.
    """
    held = 0
    for e in range(len(order)):
        a, b = _ends(order[e], width, parent)
        if a != b:
            if weights[e] <= limits[a] and weights[e] <= limits[b]:
                parent[b] = a
                sizes[a] += sizes[b]
                limits[a] = weights[e] + threshold / sizes[a]
            else:
                between[held] = order[e]
                held += 1
    return held


@compiled
def _join_small(
    between: np.ndarray, width: int, min_size: int, parent: np.ndarray, sizes: np.ndarray
) -> None:
    """The second pass, over the edges between components, smallest weight first."""
    for e in range(len(between)):
        a, b = _ends(between[e], width, parent)
        if a != b and (sizes[a] < min_size or sizes[b] < min_size):
            parent[b] = a
            sizes[a] += sizes[b]


@compiled
def _ends(edge: int, width: int, parent: np.ndarray) -> tuple[int, int]:
    """The first pixels of the components that an edge joins, the lower one first."""
    pixel = edge >> 1
    a = _root(parent, pixel)
    b = _root(parent, pixel + (width if edge & 1 else 1))
    return (a, b) if a < b else (b, a)


@compiled
def _root(parent: np.ndarray, pixel: int) -> int:
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]  # makes the next search shorter
        pixel = parent[pixel]
    return pixel


@compiled
def _number(parent: np.ndarray, labels: np.ndarray) -> None:
    count = 0
    for pixel in range(len(parent)):
        if parent[pixel] == pixel:
            labels[pixel] = count
            count += 1
        else:
            labels[pixel] = labels[_root(parent, pixel)]


def measure(labels: np.ndarray, colour_bins: np.ndarray, texture_bins: np.ndarray) -> Segments:
    """Sizes, boxes, histograms and neighbours of the segments in `labels`."""
    height, width = labels.shape
    count = int(labels.max()) + 1
    boxes = np.tile(np.array([width, height, 0, 0]), (count, 1))
    keys = np.empty(2 * labels.size, np.int64)
    keys = np.unique(keys[: _outline(labels, boxes, np.full(count, -1), keys)])
    return Segments(
        labels=labels,
        sizes=np.bincount(labels.ravel(), minlength=count),
        boxes=boxes,
        colour=_histograms(labels, colour_bins, COLOUR_BINS, count),
        texture=_histograms(labels, texture_bins, TEXTURE_BINS, count),
        pairs=np.stack([keys // count, keys % count], axis=1),
    )


def _histograms(labels: np.ndarray, bins: np.ndarray, bin_count: int, count: int) -> np.ndarray:
    """(N, planes x bin_count) int32, pixels per bin."""
    table = np.zeros((count, bins.shape[2] * bin_count), np.int32)
    _count(labels.ravel(), bins.reshape(labels.size, -1), bin_count, table)
    return table


@compiled
def _count(labels: np.ndarray, bins: np.ndarray, bin_count: int, table: np.ndarray) -> None:
    for pixel in range(len(labels)):
        label = labels[pixel]
        for plane in range(bins.shape[1]):
            table[label, plane * bin_count + bins[pixel, plane]] += 1


@compiled
def _outline(labels: np.ndarray, boxes: np.ndarray, last: np.ndarray, keys: np.ndarray) -> int:
    """Write the boxes, and a key for each pair of neighbours: lower label x N + higher label.

    Returns how many keys were written. last: for each label, the neighbour in the last key written.
    It avoids most repeated keys.
    """
    height, width = labels.shape
    found = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if boxes[label, 0] > x:
                boxes[label, 0] = x
            if boxes[label, 1] > y:
                boxes[label, 1] = y
            if boxes[label, 2] <= x:
                boxes[label, 2] = x + 1
            boxes[label, 3] = y + 1
            for below in range(2):
                if y + below == height or x + 1 - below == width:
                    continue
                other = labels[y + below, x + 1 - below]
                if other != label:
                    low, high = (label, other) if label < other else (other, label)
                    if last[low] != high:
                        last[low] = high
                        keys[found] = low * len(last) + high
                        found += 1
    return found


def segment_reference(edges: Edges, threshold: float, min_size: int) -> np.ndarray:
    """The same as `segment`. Written to be read; it is slow."""
    height, width = edges.shape
    labels = np.arange(height * width)  # for each pixel, a pixel that stands for its component
    limits = dict.fromkeys(range(height * width), float(threshold))
    ends = [(e // 2, e // 2 + (width if e % 2 else 1)) for e in edges.order.tolist()]
    for (first, second), weight in zip(ends, edges.weights.tolist(), strict=True):
        a, b = labels[first], labels[second]
        if a != b and weight <= limits[a] and weight <= limits[b]:
            labels[labels == b] = a
            limits[a] = weight + threshold / (labels == a).sum()
    for first, second in ends:
        a, b = labels[first], labels[second]
        if a != b and min((labels == a).sum(), (labels == b).sum()) < min_size:
            labels[labels == b] = a
    _, first_pixels, labels = np.unique(labels, return_index=True, return_inverse=True)
    return first_pixels.argsort().argsort()[labels].reshape(height, width).astype(np.int32)
