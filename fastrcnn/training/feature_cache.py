"""The frozen layers' feature maps, computed once per picture and kept on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fastrcnn.data import Annotation
from fastrcnn.data.pictures import check_size
from fastrcnn.images import load_image
from fastrcnn.model import Backbone, Resize
from fastrcnn.runtime.array_folder import ArrayFolder, default_cache
from fastrcnn.runtime.precision import autocast, is_bfloat16
from fastrcnn.training.augment import NO_AUGMENTATION, Augmentation

# Raise this when the code below changes what it computes.
_FEATURES_VERSION = 2


class FeatureSource(Protocol):
    """Gives a picture's activations after layer `stop`, or its pixels where `stop` is None."""

    stop: str | None

    def get(
        self,
        annotation: Annotation,
        flip: bool = False,
        draw: np.random.Generator | None = None,
    ) -> tuple[Tensor, tuple[float, float]]:
        """Those of this picture, (1, C, h, w), and (sx, sy), input pixels per picture pixel.

        flip: of its mirror image. draw: random numbers for the changes that a source makes to
        training pictures, if it makes any.
        """
        ...

    def mirror_width(self, annotation: Annotation) -> float:
        """The width, in pixels of the picture, in which its boxes are to be mirrored.

        So that they lie right on what `get` gives for the mirror image.
        """
        ...


class FeatureCache:
    """The frozen lower layers, run once per picture (and once more for its mirror image).

    Kept in half precision, which moves a VGG16 activation by at most 5e-4 of itself. What is
    frozen below the backbone's `first_kept` only is computed each time, and with nothing frozen
    `get` gives the preprocessed picture. flip_maps: the mirror image's map is the kept map
    mirrored. precision: what the layers compute in, as in a recipe. augmentation: what `get` draws
    when it is given random numbers; such a map is like no other, so it is not kept.
    """

    def __init__(
        self,
        backbone: Backbone,
        resize: Resize,
        root: Path | None = None,
        flip_maps: bool = False,
        precision: str = "auto",
        augmentation: Augmentation = NO_AUGMENTATION,
    ) -> None:
        self.stop = backbone.last_frozen()
        self.augmentation = augmentation
        self._precision = precision
        self._backbone = backbone
        self._resize = resize
        self._flip_maps = flip_maps
        self._arrays = None
        layers = backbone.layers
        first_kept = layers.index(backbone.first_kept)
        if self.stop is not None and layers.index(self.stop) >= first_kept:
            self._stride = backbone.stride_after(self.stop)
            made_by = resize.model_dump() | {
                "version": _FEATURES_VERSION,
                "network": backbone.fingerprint(self.stop),
                "stop": self.stop,
                "bfloat16": is_bfloat16(precision, _device(backbone)),
            }
            self._arrays = ArrayFolder(root or default_cache(), "features", made_by)

    @property
    def keeps(self) -> bool:
        """Whether maps are kept on disk at all."""
        return self._arrays is not None

    def get(
        self,
        annotation: Annotation,
        flip: bool = False,
        draw: np.random.Generator | None = None,
    ) -> tuple[Tensor, tuple[float, float]]:
        """(1, C, h, w) float32 and (sx, sy), network input pixels per picture pixel."""
        if draw is not None and self.augmentation:
            resize = self.augmentation.resize(self._resize, draw)
            return self._compute(annotation, flip, resize, draw), _scale(resize, annotation)
        scale = _scale(self._resize, annotation)
        if self._arrays is None:
            return self._compute(annotation, flip, self._resize), scale
        if flip and self._flip_maps:
            return self.get(annotation)[0].flip(3), scale

        def make() -> np.ndarray:
            return self._compute(annotation, flip, self._resize).half().numpy()

        path = self._arrays.path(annotation.path, "-flipped" if flip else "")
        maps = self._arrays.get(path, make)
        return torch.from_numpy(maps).float(), scale

    def mirror_width(self, annotation: Annotation) -> float:
        """See `FeatureSource`; a mirrored map lacks the pixels on the right that fill no cell."""
        if self._arrays is None or not self._flip_maps or self.augmentation:
            return annotation.width
        width = self._resize.size(annotation.height, annotation.width)[1]
        return annotation.width * (width - width % self._stride) / width

    def fill(self, annotations: Iterable[Annotation], flips: bool = False) -> Iterator[None]:
        """Make what is missing; yields once per picture, for progress."""
        for annotation in annotations:
            if self._arrays is not None:
                for flip in (False, True)[: 1 + (flips and not self._flip_maps)]:
                    path = self._arrays.path(annotation.path, "-flipped" if flip else "")
                    if not path.exists():
                        self.get(annotation, flip)
            yield

    def _compute(
        self,
        annotation: Annotation,
        flip: bool,
        resize: Resize,
        draw: np.random.Generator | None = None,
    ) -> Tensor:
        image = load_image(annotation.path)
        check_size(annotation, *image.shape[:2])
        if flip:
            image = image[:, ::-1]
        image, _ = resize.resize(image)
        if draw is not None:
            image = self.augmentation.recolour(image, draw)
        pixels = self._backbone.preprocess(image)
        if self.stop is None:
            return pixels
        device = _device(self._backbone)
        with torch.no_grad(), autocast(self._precision, device):
            return self._backbone(pixels.to(device), stop=self.stop).float().cpu()


def _scale(resize: Resize, annotation: Annotation) -> tuple[float, float]:
    height, width = resize.size(annotation.height, annotation.width)
    return width / annotation.width, height / annotation.height


def _device(backbone: Backbone) -> torch.device:
    return next(backbone.parameters()).device
