"""The starting regions of selective search and what is measured on them.

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
# Gaussian derivatives of natural pictures rarely pass this (values are 0 to 255); what does
# counts as the strongest. A fixed range keeps a single hard edge from squeezing all the rest
# into one bin.
_STRONG_EDGE = 40.0
# Edges are sorted by a number of 16 bits, for which NumPy has a radix sort: the upper bits of their
# squared weight as a float, from 2^-20 on. It tells weights apart that differ by a 2,000th.
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

    shape: (h, w). order: (E,) int32, edge 2 p joins pixel p (row x w + column) to its neighbour on
    the right, 2 p + 1 to the one below; weights that are as good as equal stand in that order.
    weights: (E,) float32, the distance of their smoothed colours in grey levels.
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
    pairs: (P, 2), the neighbours (sharing an edge of a pixel), lower label first, sorted.
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
    (sigma 1) in eight directions, each direction keeping only its rising side.
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
    """The edges of (h, w, channels) uint8 pixels, smoothed by a Gaussian of `sigma` pixels first.

    Segments of every threshold start from these.
    """
    height, width, _ = pixels.shape
    smooth: np.ndarray = pixels.astype(np.float32)
    if sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), sigma).reshape(pixels.shape)
    squares = np.full((height, width, 2), np.inf, np.float32)  # where there is no neighbour: last
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

    Felzenszwalb and Huttenlocher (IJCV 2004): smallest weight first, an edge joins two components
    unless it weighs more than what holds either together, the largest weight inside it plus
    threshold / its pixels. threshold, their k: larger gives larger segments. Then components of
    fewer than `min_size` pixels are joined to the neighbour that differs least.
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
    """The first pass. `between` gets the edges that joined nothing; how many is returned.

    parent: another pixel of the component, with a lower number; its first pixel has itself. There
    stand also the component's size and its limit, the largest weight that may still join it.
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
        parent[pixel] = parent[parent[pixel]]  # so that the next search is shorter
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
    """Write the boxes, and lower label x N + higher label of neighbours; how many were written.

    last: the neighbour of each label that was written last, so that few come more than once.
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
    """What `segment` gives, to be read rather than run."""
    height, width = edges.shape
    labels = np.arange(height * width)  # of each pixel; a component is named by a pixel of it
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
