"""Limits of what one visitor, and all visitors together, may use.

Each limit is also an environment variable: FASTRCNN_UPLOAD_MB is `upload_mb`. A megabyte, MB, has
2**20 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field

from fastrcnn.errors import FastRCNNError, RecipeError
from fastrcnn.images import MAX_PIXELS
from fastrcnn.runtime.settings import Settings

_PREFIX = "FASTRCNN_"
# Variables with the same prefix that other modules read.
_OTHERS = ("FASTRCNN_CACHE", "FASTRCNN_CHECKPOINT")
_PILLOW_PIXELS = 178_956_970  # Pillow opens no larger picture

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Limits(Settings):
    """The limits of a page; all are above 0."""

    # Pictures
    upload_mb: Amount = 64
    """Of one uploaded file."""
    uploads_mb: Amount = 1024
    """Of all files that the page keeps at a time. Each counts as a quarter of a MB at least. The
    bodies of all requests in progress have the same limit."""
    file_seconds: Amount = 600
    """The time after which an unread file is deleted. A file that was read is deleted sooner."""
    pixels: Annotated[int, Field(gt=0, le=_PILLOW_PIXELS)] = MAX_PIXELS
    """Of a picture."""

    # Computing
    connections: Count = 512
    """Requests that are answered at a time; an open page keeps one or two. As many connections may
    be open without a request. The longest idle ones are closed first."""
    connection_seconds: Amount = 10
    """The time after which a connection is closed that has not sent a whole request. Requests that
    have a body may take longer to send it."""
    queue: Count = 20
    """Events that may wait at a time."""
    analyses: Count = 1
    """Pictures that are analysed at a time."""
    experiments: Count = 1
    """Of Explore's long experiments (emptied bins, R-CNN, compressed heads), how many compute at a
    time. The others' views ask again until it is their turn."""
    trainings: Count = 2
    """Trainings that compute at a time."""
    open_trainings: Count = 8
    """Trainings in all, paused and waiting ones included."""
    idle_minutes: Amount = 10
    """The time after which an idle training gives its place to another visitor's training."""
    teachings: Count = 1
    """Visitors' own classes that are taught at a time."""
    training_minutes: Amount = 120
    """The computing time of one training, preparations included."""
    batch_pictures: Count = 16
    """Pictures in a training's mini-batch."""
    batch_rois: Count = 2048
    """RoIs in a training's mini-batch."""

    # Memory
    session_mb: Amount = 3072
    """Memory of one visitor: a picture with its analysis, a trained detector, a training, and the
    photographs that a class is taught from."""
    memory_mb: Amount = 6144
    """Memory of all visitors together."""
    pictures: Count = 32
    """Analysed pictures that are kept at a time."""
    album_photos: Count = 12
    """Photographs from which a visitor teaches a class, and those on which it is looked for."""
    away_seconds: Amount = 150
    """The time after which a visitor's memory is freed, once the page is closed or no longer asks
    about its training. Browsers ask at least once a minute, even for a hidden page."""
    cache_mb: Amount = 4096
    """Disk space of the caches of trainings on the built-in pictures."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """The limits that the variables FASTRCNN_... ask for. Raises FastRCNNError.

        An unknown variable with this prefix is refused, so that a misspelt name is noticed.
        """
        names = {_PREFIX + name.upper(): name for name in cls.model_fields}
        values: dict[str, Any] = {}
        for variable, text in environment.items():
            if not variable.startswith(_PREFIX) or variable in _OTHERS:
                continue
            if variable not in names:
                known = [*names, *_OTHERS]
                near = get_close_matches(variable, known, n=2) or known
                raise FastRCNNError(f"Nothing reads {variable}; write {' or '.join(near)}.")
            values[names[variable]] = _number(text)
        try:
            return cls(**values)
        except RecipeError as error:
            # The message begins with the field's name.
            name, rest = str(error).split(" ", 1)
            raise FastRCNNError(f"{_PREFIX}{name.upper()} {rest}") from None


def _number(text: str) -> int | float | str:
    """A variable's value as a number, or the text itself if it is not a number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
