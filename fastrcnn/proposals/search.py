"""Selective search, whole: several hierarchies, their boxes pooled, ranked and made unique."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fastrcnn.errors import RecipeError
from fastrcnn.proposals.hierarchy import SIMILARITIES, Hierarchy, group
from fastrcnn.proposals.segments import (
    COLOUR_SPACES,
    Segments,
    histogram_bins,
    measure,
    segment,
    sorted_edges,
)


@dataclass(frozen=True)
class SelectiveSearch:
    """What to run: every colour space with every threshold and every strategy.

    thresholds: Felzenszwalb and Huttenlocher's k, which is also the smallest segment in pixels.
    strategies: which similarities are summed, letters of C(olour), T(exture), S(ize), F(ill).
    work_size: a picture whose longer side passes this is shrunk to it first.
    min_side: boxes with a side below this (in working pixels) are dropped.
    seed: of the random numbers in the ranking.
    """

    colour_spaces: tuple[str, ...]
    thresholds: tuple[int, ...]
    strategies: tuple[str, ...]
    sigma: float = 0.8
    work_size: int = 500
    min_side: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("colour_spaces", "thresholds", "strategies"):
            if not getattr(self, name):
                raise RecipeError(f"Selective search needs at least one of {name}.")
        for space in self.colour_spaces:
            if space not in COLOUR_SPACES:
                raise RecipeError(
                    f"Unknown colour space {space!r}; there are {', '.join(COLOUR_SPACES)}."
                )
        for strategy in self.strategies:
            if not strategy or not set(strategy) <= SIMILARITIES.keys():
                raise RecipeError(
                    f"Unknown strategy {strategy!r}; a strategy is made of the letters "
                    f"{', '.join(SIMILARITIES)}."
                )


# Table 5 of Uijlings et al.
MODES = {
    "single": SelectiveSearch(("HSV",), (100,), ("CTSF",)),
    "fast": SelectiveSearch(("HSV", "Lab"), (50, 100), ("CTSF", "TSF")),
    "quality": SelectiveSearch(
        ("HSV", "Lab", "rgI", "H", "I"), (50, 100, 150, 300), ("CTSF", "TSF", "F", "S")
    ),
}


@dataclass(frozen=True)
class Segmentation:
    """The starting segments of one colour space and threshold; every strategy groups these."""

    colour_space: str
    threshold: int
    segments: Segments


@dataclass(frozen=True)
class Proposals:
    """The ranked boxes of a picture and the hierarchies that they came from.

    boxes: (R, 4) float32 xyxy in pixels of the picture, best first, no two the same.
    sources: (R, 2), for each box the hierarchy and the node in it that gave its rank.
    """

    boxes: np.ndarray
    sources: np.ndarray
    hierarchies: tuple[Hierarchy, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def selective_search(
    image: np.ndarray, mode: str | SelectiveSearch = "fast", *, seed: int | None = None
) -> Proposals:
    """Object proposals for a (H, W, 3) uint8 RGB picture.

    mode: "single", "fast", "quality" or settings of one's own. The same picture, settings and
    seed give the same boxes in the same order. Never empty: what gives no region gives the whole
    picture. Raises RecipeError for an unknown mode.
    """
    settings = _settings(mode)
    if seed is not None:
        settings = replace(settings, seed=seed)
    *_, proposals = search_stages(image, settings)
    assert isinstance(proposals, Proposals)
    return proposals


def search_stages(
    image: np.ndarray, mode: str | SelectiveSearch = "fast"
) -> Iterator[tuple[Segmentation, ...] | Proposals]:
    """`selective_search` in its two stages: first the segmentations, then the proposals."""
    settings = _settings(mode)
    height, width = image.shape[:2]
    shrink = min(1.0, settings.work_size / max(height, width))
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    work = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrink < 1 else image
    scale = np.array([width / size[0], height / size[1]] * 2, np.float32)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        spaces = pool.map(
            lambda name: _ColourSpace(work, name, settings.sigma), settings.colour_spaces
        )
        runs = [(space, k) for space in spaces for k in settings.thresholds]
        segmentations = tuple(pool.map(lambda run: run[0].segmentation(run[1]), runs))
        yield segmentations
        hierarchies = tuple(
            pool.map(
                lambda run: _hierarchy(*run, scale),
                [(start, strategy) for start in segmentations for strategy in settings.strategies],
            )
        )
    yield _rank(hierarchies, settings, scale)


def _settings(mode: str | SelectiveSearch) -> SelectiveSearch:
    if isinstance(mode, SelectiveSearch):
        return mode
    if mode not in MODES:
        raise RecipeError(f"Unknown selective-search mode {mode!r}; there are {', '.join(MODES)}.")
    return MODES[mode]


class _ColourSpace:
    """A picture in one colour space, and what the segments of every threshold share."""

    def __init__(self, work: np.ndarray, name: str, sigma: float) -> None:
        pixels = np.ascontiguousarray(COLOUR_SPACES[name](work))
        self.name = name
        self.bins = histogram_bins(pixels)
        self.edges = sorted_edges(pixels, sigma)

    def segmentation(self, threshold: int) -> Segmentation:
        labels = segment(self.edges, threshold, min_size=threshold)
        return Segmentation(self.name, threshold, measure(labels, *self.bins))


def _hierarchy(start: Segmentation, strategy: str, scale: np.ndarray) -> Hierarchy:
    merges, similarities, boxes, sizes = group(start.segments, strategy)
    return Hierarchy(
        colour_space=start.colour_space,
        threshold=start.threshold,
        strategy=strategy,
        labels=start.segments.labels,
        merges=merges,
        similarities=similarities,
        boxes=boxes * scale,
        sizes=sizes,
    )


def _rank(
    hierarchies: tuple[Hierarchy, ...], settings: SelectiveSearch, scale: np.ndarray
) -> Proposals:
    """Sort by (position in the hierarchy) x (random number), keep the first of equal boxes.

    Position 1 is the last merge, the whole picture (section 4.3 of Uijlings et al.): large regions
    tend to come first, but no strategy's always do.
    """
    random = np.random.default_rng(settings.seed)
    boxes = np.concatenate([hierarchy.boxes for hierarchy in hierarchies])
    sources = np.concatenate(
        [
            np.stack([np.full(len(h.boxes), index), np.arange(len(h.boxes))], axis=1)
            for index, h in enumerate(hierarchies)
        ]
    )
    position = np.concatenate([np.arange(len(h.boxes), 0, -1) for h in hierarchies])
    order = np.argsort(position * random.random(len(position)), kind="stable")
    # Whole working pixels compare exactly; scaled ones may not.
    working = np.rint(boxes / scale)
    sides = np.minimum(working[:, 2] - working[:, 0], working[:, 3] - working[:, 1])
    order = order[sides[order] >= min(settings.min_side, sides.max())]
    x1, y1, x2, y2 = working[order].astype(np.int64).T
    side = settings.work_size + 1
    _, first = np.unique(((x1 * side + y1) * side + x2) * side + y2, return_index=True)
    order = order[np.sort(first)]
    return Proposals(boxes[order], sources[order].astype(np.int32), hierarchies)
