"""What is computed once per picture and kept on disk: proposals and frozen layers' feature maps.

Every folder is named by a digest of all that made its contents (settings, weights, versions), every
file by a digest of the picture's own bytes. Change any of them and the old files are simply not
found. Files are written beside their place and then moved into it, so that a killed run leaves
none half written; one that cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from fastrcnn.data.annotation import Annotation
from fastrcnn.data.augment import NO_AUGMENTATION, Augmentation
from fastrcnn.data.pictures import check_size
from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.model.backbone import Backbone
from fastrcnn.model.resize import Geometry
from fastrcnn.proposals import SelectiveSearch, selective_search
from fastrcnn.runtime.atomic_write import remove_parts, written_whole
from fastrcnn.runtime.precision import autocast, is_bfloat16

# Raise these when the code below them changes what it computes.
_FEATURES_VERSION = 2
_PROPOSALS_VERSION = 1

_WORTH_A_PROCESS = 50  # pictures for each; a fresh process takes seconds to start

# Seconds; several runs may fill one cache, and what one of them is writing is not to be removed.
_LONGEST_WRITE = 3600


def default_cache() -> Path:
    """Where caches go unless told otherwise: $FASTRCNN_CACHE or ~/.cache/fastrcnn."""
    return Path(os.environ.get("FASTRCNN_CACHE") or Path.home() / ".cache" / "fastrcnn")


def trim_cache(root: Path, most: float) -> None:
    """Delete the arrays that were written first until those under `root` have `most` bytes.

    They may be in use: whoever misses one makes it again.
    """
    arrays = []
    for path in root.glob("*-*/*.npy"):
        with suppress(OSError):
            status = path.stat()
            arrays.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in arrays)
    for _, size, path in sorted(arrays):
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
            total -= size


class _ArrayFolder:
    """Arrays on disk, one a picture, in a folder that is named by what made them."""

    def __init__(self, root: Path, kind: str, made_by: dict) -> None:
        text = json.dumps(made_by, sort_keys=True)
        self.folder = root / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self._digests: dict[Path, str] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "made_by.json").write_text(text + "\n")
            remove_parts(self.folder, time.time() - _LONGEST_WRITE)
        except OSError as error:
            raise DataError(
                f"The cache folder {self.folder} cannot be written ({error.strerror}); name "
                f"another with --cache or FASTRCNN_CACHE."
            ) from error

    def path(self, picture: Path, suffix: str = "") -> Path:
        if picture not in self._digests:
            try:
                content = picture.read_bytes()
            except OSError as error:
                raise DataError(f"{picture} cannot be read: {error.strerror}.") from error
            self._digests[picture] = hashlib.sha256(content).hexdigest()[:24]
        return self.folder / f"{self._digests[picture]}{suffix}.npy"

    def get(self, path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            array = make()
        self._write(path, array)
        return array

    def _write(self, path: Path, array: np.ndarray) -> None:
        try:
            with written_whole(path) as part, part.open("wb") as file:
                np.save(file, array)
        except OSError as error:
            raise DataError(
                f"The cache {self.folder} cannot be written ({error.strerror}); free some space "
                f"or name another folder with --cache or FASTRCNN_CACHE."
            ) from error


class ProposalSource(Protocol):
    """Gives a picture's proposals, (R, 4) float32 in its pixels, best first."""

    def get(self, annotation: Annotation) -> np.ndarray:
        """The proposals of this picture."""
        ...


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


class ProposalCache:
    """Selective search, run once per picture."""

    def __init__(self, settings: SelectiveSearch, root: Path | None = None) -> None:
        self.settings = settings
        made_by = asdict(settings) | {"version": _PROPOSALS_VERSION, "opencv": cv2.__version__}
        self._arrays = _ArrayFolder(root or default_cache(), "proposals", made_by)

    def get(self, annotation: Annotation) -> np.ndarray:
        """(R, 4) float32, best first."""

        def make() -> np.ndarray:
            return selective_search(load_image(annotation.path), self.settings).boxes

        return self._arrays.get(self._arrays.path(annotation.path), make)

    def fill(self, annotations: Iterable[Annotation], workers: int = 1) -> Iterator[None]:
        """Make what is missing; yields once per picture, for progress.

        workers: the most processes to share it out to, fewer where little is missing.
        """
        missing = []
        for annotation in annotations:
            if self._arrays.path(annotation.path).exists():
                yield
            else:
                missing.append(annotation)
        workers = min(workers, len(missing) // _WORTH_A_PROCESS)
        if workers < 2:
            for annotation in missing:
                self.get(annotation)
                yield
            return
        # Not forked: a copy of a process in which torch's threads run may wait for them for ever.
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, fresh, _start_worker) as pool:
            for _ in pool.map(self._make, missing, chunksize=4):
                yield

    def _make(self, annotation: Annotation) -> None:
        self.get(annotation)


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
        geometry: Geometry,
        root: Path | None = None,
        flip_maps: bool = False,
        precision: str = "auto",
        augmentation: Augmentation = NO_AUGMENTATION,
    ) -> None:
        self.stop = backbone.last_frozen()
        self.augmentation = augmentation
        self._precision = precision
        self._backbone = backbone
        self._geometry = geometry
        self._flip_maps = flip_maps
        self._arrays = None
        layers = backbone.layers
        first_kept = layers.index(backbone.first_kept)
        if self.stop is not None and layers.index(self.stop) >= first_kept:
            self._stride = backbone.stride_after(self.stop)
            made_by = asdict(geometry) | {
                "version": _FEATURES_VERSION,
                "backbone": backbone.name,
                "stop": self.stop,
                "weights": _digest(backbone, self.stop),
                "bfloat16": is_bfloat16(precision, _device(backbone)),
            }
            self._arrays = _ArrayFolder(root or default_cache(), "features", made_by)

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
            geometry = self.augmentation.geometry(self._geometry, draw)
            return self._compute(annotation, flip, geometry, draw), _scale(geometry, annotation)
        scale = _scale(self._geometry, annotation)
        if self._arrays is None:
            return self._compute(annotation, flip, self._geometry), scale
        if flip and self._flip_maps:
            return self.get(annotation)[0].flip(3), scale

        def make() -> np.ndarray:
            return self._compute(annotation, flip, self._geometry).half().numpy()

        path = self._arrays.path(annotation.path, "-flipped" if flip else "")
        maps = self._arrays.get(path, make)
        return torch.from_numpy(maps).float(), scale

    def mirror_width(self, annotation: Annotation) -> float:
        """See `FeatureSource`; a mirrored map lacks the pixels on the right that fill no cell."""
        if self._arrays is None or not self._flip_maps or self.augmentation:
            return annotation.width
        width = self._geometry.size(annotation.height, annotation.width)[1]
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
        geometry: Geometry,
        draw: np.random.Generator | None = None,
    ) -> Tensor:
        image = load_image(annotation.path)
        check_size(annotation, *image.shape[:2])
        if flip:
            image = image[:, ::-1]
        image, _ = geometry.resize(image)
        if draw is not None:
            image = self.augmentation.recolour(image, draw)
        pixels = self._backbone.preprocess(image)
        if self.stop is None:
            return pixels
        device = _device(self._backbone)
        with torch.no_grad(), autocast(self._precision, device):
            return self._backbone(pixels.to(device), stop=self.stop).float().cpu()


def _scale(geometry: Geometry, annotation: Annotation) -> tuple[float, float]:
    height, width = geometry.size(annotation.height, annotation.width)
    return width / annotation.width, height / annotation.height


def _start_worker() -> None:
    """One thread a process, and none of them outlives a parent that was killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _device(backbone: Backbone) -> torch.device:
    return next(backbone.parameters()).device


def _digest(backbone: Backbone, stop: str) -> str:
    digest = hashlib.sha256()
    for layer in backbone.layers[: backbone.layers.index(stop) + 1]:
        for tensor in getattr(backbone, layer).state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
