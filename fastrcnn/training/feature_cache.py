"""The frozen layers' feature maps, computed once per picture and kept on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fastrcnn.data import Annotation
from fastrcnn.data.pictures import load_annotated
from fastrcnn.model import Backbone, Resize
from fastrcnn.runtime.array_folder import ArrayFolder, default_cache
from fastrcnn.runtime.precision import autocast, is_bfloat16

# Raise this when the code below changes what it computes.
_FEATURES_VERSION = 2


class FeatureSource(Protocol):
    """Gives a picture's activations after layer `stop`."""

    stop: str | None

    def get(self, annotation: Annotation, flip: bool = False) -> tuple[Tensor, tuple[float, float]]:
        """This picture's activations (1, C, h, w), and (sx, sy), input pixels per picture pixel.

        flip: take the mirror image of the picture.
        """
        ...

    def mirror_width(self, annotation: Annotation) -> float:
        """The width in pixels of the picture to use when its boxes are mirrored.

        With it the boxes fit the maps that `get` gives for the mirror image.
        """
        ...


def can_keep(backbone: Backbone) -> bool:
    """Whether enough layers are frozen for their output to be worth keeping on disk."""
    stop = backbone.last_frozen()
    order = backbone.layers.index
    return stop is not None and order(stop) >= order(backbone.first_kept)


class FeatureCache:
    """Runs the frozen lower layers once per picture (and once more for its mirror image).

    Maps are kept in half precision, which changes a VGG16 activation by at most 5e-4 of its value.
    flip_maps: use the kept map, mirrored, for the mirror image. precision: the precision in which
    the layers compute, as in a recipe. Raises ValueError if `can_keep` is false.
    """

    def __init__(
        self,
        backbone: Backbone,
        resize: Resize,
        root: Path | None = None,
        flip_maps: bool = False,
        precision: str = "auto",
    ) -> None:
        self.stop = backbone.last_frozen()
        if self.stop is None or not can_keep(backbone):
            raise ValueError(f"Maps from below {backbone.first_kept} are not kept.")
        self._precision = precision
        self._backbone = backbone
        self._resize = resize
        self._flip_maps = flip_maps
        self._stride = backbone.stride_after(self.stop)
        made_by = resize.model_dump() | {
            "version": _FEATURES_VERSION,
            "network": backbone.fingerprint(self.stop),
            "stop": self.stop,
            "bfloat16": is_bfloat16(precision, _device(backbone)),
        }
        self._arrays = ArrayFolder(root or default_cache(), "features", made_by)

    def get(self, annotation: Annotation, flip: bool = False) -> tuple[Tensor, tuple[float, float]]:
        """(1, C, h, w) float16 and (sx, sy), network input pixels per picture pixel."""
        height, width = self._resize.size(annotation.height, annotation.width)
        scale = width / annotation.width, height / annotation.height
        if flip and self._flip_maps:
            return self.get(annotation)[0].flip(3), scale
        path = self._arrays.path(annotation.path, "-flipped" if flip else "")
        return torch.from_numpy(
            self._arrays.get(path, lambda: self._compute(annotation, flip))
        ), scale

    def mirror_width(self, annotation: Annotation) -> float:
        """See `FeatureSource`. A mirrored map has whole cells: the pixels on the right that fill no
        cell of VGG16's are missing, and the last cell of CaffeNet's goes beyond the picture.
        """
        if not self._flip_maps:
            return annotation.width
        maps, (sx, _) = self.get(annotation)
        return maps.shape[3] * self._stride / sx

    def fill(self, annotations: Iterable[Annotation], flips: bool = False) -> Iterator[None]:
        """Make the maps that are missing. Yields once per picture, to show progress."""
        for annotation in annotations:
            for flip in (False, True)[: 1 + (flips and not self._flip_maps)]:
                path = self._arrays.path(annotation.path, "-flipped" if flip else "")
                if not path.exists():
                    self.get(annotation, flip)
            yield

    def _compute(self, annotation: Annotation, flip: bool) -> np.ndarray:
        image = load_annotated(annotation)
        if flip:
            image = image[:, ::-1]
        pixels = self._backbone.preprocess(self._resize.resize(image)[0])
        device = _device(self._backbone)
        with torch.no_grad(), autocast(self._precision, device):
            maps = self._backbone(pixels, stop=self.stop)
        return maps.half().cpu().numpy()


def _device(backbone: Backbone) -> torch.device:
    return next(backbone.parameters()).device
