"""Selective search's boxes, computed once per picture and kept on disk."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fastrcnn.data.dataset import Annotation
from fastrcnn.images import load_image
from fastrcnn.proposals.selective_search import SelectiveSearch, prepare, selective_search
from fastrcnn.runtime.array_folder import ArrayFolder, default_cache

# Increase this when a change to selective search changes its results.
_PROPOSALS_VERSION = 2

_PICTURES_AHEAD = 16  # per process; at the end of each such part some processes wait for the last
_WORTH_A_PROCESS = 50  # least pictures per process, since a new process takes seconds to start


class ProposalSource(Protocol):
    """Gives a picture's proposals, (R, 4) float32 in its pixels, best first."""

    def get(self, annotation: Annotation) -> np.ndarray:
        """The proposals of this picture."""
        ...


class PreparedProposals(ProposalSource, Protocol):
    """A source that can make, or check, the proposals of many pictures before they are used."""

    def fill(self, annotations: Iterable[Annotation], workers: int = 1) -> Iterator[None]:
        """Do so, in at most so many processes. Yields once per picture, to show progress."""
        ...


class ProposalCache:
    """Selective search, run once per picture."""

    def __init__(self, settings: SelectiveSearch, root: Path | None = None) -> None:
        self.settings = settings
        made_by = settings.model_dump() | {"version": _PROPOSALS_VERSION, "opencv": cv2.__version__}
        self._arrays = ArrayFolder(root or default_cache(), "proposals", made_by)

    def get(self, annotation: Annotation) -> np.ndarray:
        """(R, 4) float32, best first."""

        def make() -> np.ndarray:
            return selective_search(load_image(annotation.path), self.settings).boxes

        return self._arrays.get(self._arrays.path(annotation.path), make)

    def fill(self, annotations: Iterable[Annotation], workers: int = 1) -> Iterator[None]:
        """Make the missing proposals. Yields once per picture, to show progress.

        workers: the largest number of processes. Fewer are used if little is missing.
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
        prepare()  # once here, not in each process
        # Not forked: torch's threads do not exist in the copy, which may wait for them for ever.
        fresh = multiprocessing.get_context("spawn")
        # A part at a time: who takes no more of these values stops the work soon after.
        part = _PICTURES_AHEAD * workers
        with ProcessPoolExecutor(workers, fresh, _start_worker) as pool:
            for start in range(0, len(missing), part):
                yield from pool.map(self._make, missing[start : start + part])

    def _make(self, annotation: Annotation) -> None:
        self.get(annotation)


def _start_worker() -> None:
    """Use one thread for OpenCV, and end this process when its parent ends, even if killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
