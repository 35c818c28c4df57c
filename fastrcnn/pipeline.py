"""Detecting in many pictures: while a GPU works on one, threads propose boxes for the next ones.

Python usually needs processes for such work. Here threads are enough: selective search is compiled
and does not hold the interpreter's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from itertools import repeat

from fastrcnn.detector import Detector, Search, Stage, Trace
from fastrcnn.images import Source
from fastrcnn.postprocess import Selection
from fastrcnn.runtime.prefetch import prefetch


def detect_each(
    detector: Detector,
    images: Iterable[Source],
    selection: Selection | None = None,
    *,
    ahead: int | None = None,
    keep: bool = True,
    searches: Iterable[Search] | None = None,
) -> Iterator[Callable[[], Trace]]:
    """For each picture in turn, a function that finishes its detection and gives its trace.

    images: each is anything that `load_image` reads. selection, keep: as for `Detector.stages`.
    ahead: how many of the next pictures get their boxes proposed meanwhile. The default is the
    number of cores if the network is on a GPU, and none if it is on the processor. There the
    network's threads already use every core: more threads made twelve photographs a third slower on
    two busy cores. searches: for each picture in turn how its boxes are proposed, instead of the
    detector's own search.

    The function raises ImageError for a picture that cannot be read. The pictures after it are not
    affected.
    """

    def propose(picture: tuple[Source, Search]) -> Iterator[Stage]:
        own = copy(detector)
        image, own.search = picture
        stages = own.stages(image, selection, keep=keep)
        next(stage for stage in stages if stage.name == "proposals")
        return stages

    if ahead is None:
        on_processor = detector.device.type == "cpu"
        ahead = 0 if on_processor else os.cpu_count() or 1
    pictures = zip(images, repeat(detector.search) if searches is None else searches, strict=False)
    if ahead:
        for future in prefetch(propose, pictures, ahead):
            yield partial(_finish, future.result)
    else:
        for picture in pictures:
            yield partial(_finish, partial(propose, picture))


def _finish(proposed: Callable[[], Iterator[Stage]]) -> Trace:
    *_, last = proposed()
    assert last.trace is not None
    return last.trace
