"""Detecting in many pictures: while the network works on one, threads propose for the next ones.

Threads will do, where Python usually needs processes: selective search is compiled, and gives up
the interpreter's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from fastrcnn.detector import Detector, Stage, Trace
from fastrcnn.images import Source
from fastrcnn.runtime.prefetch import prefetch


def detect_each(
    detector: Detector, images: Iterable[Source], **settings: Any
) -> Iterator[Callable[[], Trace]]:
    """For each picture in turn, a function that finishes its detection and gives its trace.

    images: each is whatever `load_image` reads. settings: as for `Detector.stages`. The function
    raises ImageError for a picture that cannot be read; the next ones are not affected by that.
    """

    def propose(image: Source) -> Iterator[Stage]:
        stages = detector.stages(image, **settings)
        next(stage for stage in stages if stage.name == "proposals")
        return stages

    on_processor = next(detector.model.parameters()).device.type == "cpu"
    # The processor's cores are the network's too; beside a GPU they have nothing else to do.
    ahead = 1 if on_processor else os.cpu_count() or 1
    for proposing in prefetch(propose, images, ahead):
        yield partial(_finish, proposing)


def _finish(proposing: Future[Iterator[Stage]]) -> Trace:
    *_, last = proposing.result()
    assert last.trace is not None
    return last.trace
