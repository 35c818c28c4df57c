"""What one visitor, and all of them together, may ask of the page.

Each limit is also an environment variable: FASTRCNN_UPLOAD_MB is `upload_mb`. A megabyte, MB, has
2**20 bytes.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

from fastrcnn.errors import FastRCNNError, shown
from fastrcnn.images import MAX_PIXELS

_PREFIX = "FASTRCNN_"
_MOST_PIXELS = 178_956_970  # Pillow's own limit
# Read elsewhere.
_OTHERS = ("FASTRCNN_CACHE", "FASTRCNN_CHECKPOINT")


@dataclass(frozen=True)
class Limits:
    """The limits of a page; all are above 0, or it is a FastRCNNError.

    Pictures
        upload_mb: of a file that is sent. uploads_mb: of all files that the page keeps at a time,
        each counted as a quarter of a MB at least, and of all questions that it is being asked.
        file_seconds: after which a file that was not read is deleted; one that was read goes
        sooner. pixels: of a picture.
    Computing
        connections: requests that are answered at a time; an open page keeps one or two. queue:
        who may wait at a time. analyses: pictures that are analysed at a time. trainings: that
        compute at a time. open_trainings: in all, paused and waiting ones included. idle_minutes:
        after which a training that stands still must give its place to one that has none.
        training_minutes: that one may compute, preparations included. batch_pictures, batch_rois:
        of a training's mini-batch.
    Memory
        session_mb: that one visitor's picture, its steps, the detector it is looked at through and
        a training may hold. memory_mb: the same of all visitors. pictures: kept at a time.
        away_seconds: after which what somebody holds who no longer has the page open, or who does
        not ask after a training, is freed; browsers ask once a minute at least, even for a page
        that is out of sight. cache_mb: of what trainings on the built-in pictures keep on disk.
    """

    upload_mb: float = 64
    uploads_mb: float = 1024
    file_seconds: float = 600
    pixels: int = MAX_PIXELS
    connections: int = 512
    queue: int = 20
    analyses: int = 1
    trainings: int = 2
    open_trainings: int = 8
    idle_minutes: float = 10
    training_minutes: float = 120
    batch_pictures: int = 16
    batch_rois: int = 2048
    session_mb: float = 3072
    memory_mb: float = 6144
    pictures: int = 32
    away_seconds: float = 150
    cache_mb: float = 4096

    def __post_init__(self) -> None:
        for name in _names():
            _check(name, getattr(self, name))
        if self.pixels > _MOST_PIXELS:
            raise FastRCNNError(
                f"{_variable('pixels')} is {self.pixels}; it must be at most {_MOST_PIXELS}, above "
                f"which no picture is decoded."
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """The limits that the variables FASTRCNN_... ask for. Raises FastRCNNError.

        A variable of such a name that is no limit is refused: a slip in a limit's name must not go
        unseen.
        """
        hints = typing.get_type_hints(cls)
        values = {}
        for variable, text in environment.items():
            if not variable.startswith(_PREFIX) or variable in _OTHERS:
                continue
            name = variable.removeprefix(_PREFIX).lower()
            if name not in _names() or variable != _variable(name):
                known = [*map(_variable, _names()), *_OTHERS]
                near = get_close_matches(variable, known, n=2) or known
                raise FastRCNNError(f"Nothing reads {variable}; write {' or '.join(near)}.")
            try:
                values[name] = hints[name](text)
            except ValueError:
                _check(name, text)
        return cls(**values)


def _names() -> list[str]:
    return [field.name for field in fields(Limits)]


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _check(name: str, value: object) -> None:
    whole = typing.get_type_hints(Limits)[name] is int
    right = type(value) is int or (type(value) is float and not whole)
    if not (right and isinstance(value, int | float) and 0 < value < math.inf):
        wanted = "a whole number" if whole else "a number"
        raise FastRCNNError(f"{_variable(name)} is {shown(value)}; it must be {wanted} above 0.")
