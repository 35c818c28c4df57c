"""The starting regions of selective search and what is measured on them.

h x w is the picture at working size, N the number of segments.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

COLOUR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8
# Gaussian derivatives of natural pictures rarely pass this (values are 0 to 255); what does
# counts as the strongest. A fixed range keeps a single hard edge from squeezing all the rest
# into one bin.
_STRONG_EDGE = 40.0


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
class Segments:
    """Felzenszwalb-Huttenlocher segments of a picture.

    labels: (h, w) int32, 0 ... N-1.
    sizes: (N,) pixels. boxes: (N, 4) xyxy, x2 and y2 exclusive, in working pixels.
    colour: (N, 25 x channels), texture: (N, 8 x channels x 10), histograms that sum to 1.
    pairs: (E, 2), the neighbours (sharing an edge of a pixel), lower label first, sorted.
    """

    labels: np.ndarray
    sizes: np.ndarray
    boxes: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    pairs: np.ndarray


def histogram_bins(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bin that each pixel falls into: colour (channels, h, w), texture (8 x channels, h, w).

    pixels: (h, w, channels) uint8 in some colour space. Texture is the Gaussian derivative
    (sigma 1) in eight directions, each direction keeping only its rising side.
    """
    height, width, channels = pixels.shape
    colour = np.empty((channels, height, width), np.uint8)
    texture = np.empty((channels * ORIENTATIONS, height, width), np.uint8)
    angles = np.arange(ORIENTATIONS) * 2 * np.pi / ORIENTATIONS
    for channel in range(channels):
        plane = np.ascontiguousarray(pixels[..., channel])
        np.multiply(plane, COLOUR_BINS / 256, out=colour[channel], casting="unsafe")
        smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), 1)
        scale = TEXTURE_BINS / _STRONG_EDGE
        right = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=scale / 2)
        down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=scale / 2)
        for index, angle in enumerate(angles):
            rising = cv2.addWeighted(right, np.cos(angle), down, np.sin(angle), 0)
            np.clip(rising, 0, TEXTURE_BINS - 1, out=rising)
            texture[channel * ORIENTATIONS + index] = rising
    return colour, texture


def segment(pixels: np.ndarray, threshold: float, sigma: float, min_size: int) -> np.ndarray:
    """(h, w) int32 labels, numbered 0 ... N-1 without gaps.

    threshold is Felzenszwalb and Huttenlocher's k: larger gives larger segments.
    """
    graph = cv2.ximgproc.segmentation.createGraphSegmentation(sigma, threshold, min_size)
    return graph.processImage(pixels)


def measure(labels: np.ndarray, colour_bins: np.ndarray, texture_bins: np.ndarray) -> Segments:
    """Sizes, boxes, histograms and neighbours of the segments in `labels`."""
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    return Segments(
        labels=labels,
        sizes=sizes,
        boxes=_boxes(labels, count),
        colour=_histograms(labels, colour_bins, COLOUR_BINS, count, sizes),
        texture=_histograms(labels, texture_bins, TEXTURE_BINS, count, sizes),
        pairs=_neighbours(labels, count),
    )


def _boxes(labels: np.ndarray, count: int) -> np.ndarray:
    height, width = labels.shape
    rows = np.zeros((height, count), bool)
    columns = np.zeros((width, count), bool)
    rows[np.arange(height)[:, None], labels] = True
    columns[np.arange(width)[None, :], labels] = True
    # argmax finds the first line that a label is present in.
    return np.stack(
        [
            columns.argmax(axis=0),
            rows.argmax(axis=0),
            width - columns[::-1].argmax(axis=0),
            height - rows[::-1].argmax(axis=0),
        ],
        axis=1,
    )


def _histograms(
    labels: np.ndarray, bins: np.ndarray, bin_count: int, count: int, sizes: np.ndarray
) -> np.ndarray:
    """(N, planes x bin_count) float32, each row summing to 1."""
    base = labels.ravel().astype(np.int64) * bin_count
    planes = [
        np.bincount(base + plane.ravel(), minlength=count * bin_count).reshape(count, bin_count)
        for plane in bins
    ]
    table = np.concatenate(planes, axis=1).astype(np.float32)
    return table / (sizes[:, None] * len(bins)).astype(np.float32)


def _neighbours(labels: np.ndarray, count: int) -> np.ndarray:
    left, right = labels[:, :-1], labels[:, 1:]
    above, below = labels[:-1], labels[1:]
    first = np.concatenate([left[left != right], above[above != below]]).astype(np.int64)
    second = np.concatenate([right[left != right], below[above != below]])
    keys = np.unique(np.minimum(first, second) * count + np.maximum(first, second))
    return np.stack([keys // count, keys % count], axis=1)
