"""The whole of selective search: the boxes of several hierarchies, ranked, each one only once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import Field, ValidationInfo, field_validator

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
from fastrcnn.runtime.settings import Settings


class SelectiveSearch(Settings):
    """What to run: every colour space with every threshold and every strategy."""

    colour_spaces: tuple[str, ...]
    """In which segments are found and measured, names in COLOUR_SPACES."""
    thresholds: tuple[int, ...]
    """Felzenszwalb and Huttenlocher's k, which is also the smallest segment in pixels."""
    strategies: tuple[str, ...]
    """Which similarities are summed, letters of C(olour), T(exture), S(ize), F(ill)."""
    sigma: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    """Of the Gaussian that smooths a picture before it is segmented, in working pixels."""
    work_size: int = Field(default=500, ge=1)
    """A picture whose longer side has more pixels is shrunk to this first."""
    min_side: int = Field(default=10, ge=0)
    """Boxes with a shorter side, in working pixels, are dropped."""
    seed: int = Field(default=0, ge=0)
    """Of the random numbers in the ranking."""

    @field_validator("colour_spaces", "thresholds", "strategies")
    @classmethod
    def _at_least_one(cls, values: tuple, info: ValidationInfo) -> tuple:
        if not values:
            raise ValueError(f"Selective search needs at least one of {info.field_name}.")
        return values

    @field_validator("colour_spaces")
    @classmethod
    def _known_spaces(cls, spaces: tuple[str, ...]) -> tuple[str, ...]:
        for space in spaces:
            if space not in COLOUR_SPACES:
                raise ValueError(
                    f"Unknown colour space {space!r}; there are {', '.join(COLOUR_SPACES)}."
                )
        return spaces

    @field_validator("thresholds")
    @classmethod
    def _pixels(cls, thresholds: tuple[int, ...]) -> tuple[int, ...]:
        if min(thresholds) < 1:
            raise ValueError(f"thresholds has {min(thresholds)}; it must be 1 pixel or more.")
        return thresholds

    @field_validator("strategies")
    @classmethod
    def _known_letters(cls, strategies: tuple[str, ...]) -> tuple[str, ...]:
        for strategy in strategies:
            if not strategy or not set(strategy) <= SIMILARITIES.keys():
                raise ValueError(
                    f"Unknown strategy {strategy!r}; a strategy is made of the letters "
                    f"{', '.join(SIMILARITIES)}."
                )
        return strategies


# Table 5 of Uijlings et al.
MODES = {
    "single": SelectiveSearch(colour_spaces=("HSV",), thresholds=(100,), strategies=("CTSF",)),
    "fast": SelectiveSearch(
        colour_spaces=("HSV", "Lab"), thresholds=(50, 100), strategies=("CTSF", "TSF")
    ),
    "quality": SelectiveSearch(
        colour_spaces=("HSV", "Lab", "rgI", "H", "I"),
        thresholds=(50, 100, 150, 300),
        strategies=("CTSF", "TSF", "F", "S"),
    ),
}


@dataclass(frozen=True)
class Segmentation:
    """The starting segments for one colour space and threshold. Every strategy groups these."""

    colour_space: str
    threshold: int
    segments: Segments


@dataclass(frozen=True)
class Proposals:
    """The ranked boxes of a picture and the hierarchies that they came from.

    boxes: (R, 4) float32 xyxy in pixels of the picture, best first, no two the same.
    sources: (R, 2), for each box the hierarchy, and the node in it, that gave the box its rank.
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

    mode: "single", "fast", "quality" or your own settings. The same picture, settings and seed give
    the same boxes in the same order. The result is never empty: a picture without regions gives one
    box around all of it. Raises RecipeError for an unknown mode.
    """
    settings = _settings(mode)
    if seed is not None:
        settings = settings.but(seed=seed)
    *_, proposals = search_stages(image, settings)
    assert isinstance(proposals, Proposals)
    return proposals


def prepare() -> None:
    """Compile everything, or load what was compiled before, so that no picture waits for it."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    selective_search(noise, "single")


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
                lambda run: _hierarchy(run[0], run[1], scale),
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

    Position 1 is the last merge, the whole picture (section 4.3 of Uijlings et al.). So large
    regions tend to come first, but no strategy always comes first.
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
    # Whole working pixels can be compared exactly, scaled ones may not.
    working = np.rint(boxes / scale)
    sides = np.minimum(working[:, 2] - working[:, 0], working[:, 3] - working[:, 1])
    order = order[sides[order] >= min(settings.min_side, sides.max())]
    x1, y1, x2, y2 = working[order].astype(np.int64).T
    side = settings.work_size + 1
    _, first = np.unique(((x1 * side + y1) * side + x2) * side + y2, return_index=True)
    order = order[np.sort(first)]
    return Proposals(boxes[order], sources[order].astype(np.int32), hierarchies)
