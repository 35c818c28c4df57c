"""The errors for bad input from a user. Each message is one sentence that says what is wrong."""

from __future__ import annotations

_LONGEST_REASON = 150
_LONGEST_VALUE = 60


def reason(error: Exception) -> str:
    """What went wrong, for use within a sentence: one short line without a full stop.

    This cleans the text, since a library's message may contain anything, even bytes of the file.
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".")
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


def shown(value: object) -> str:
    """A value from a file, for use within a sentence: as Python writes it, cut if it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number with thousands of digits
        text = "a very large number"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


class FastRCNNError(ValueError):
    """Base class of all errors that the input causes, not the program."""


class ImageError(FastRCNNError):
    """A picture that cannot be read or written."""


class DataError(FastRCNNError):
    """A data set, annotation or proposal file that cannot be used."""


class CheckpointError(FastRCNNError):
    """A weights file that cannot be used."""


class RecipeError(FastRCNNError):
    """A setting of a model or of a training run that cannot work."""


class MissingPackageError(FastRCNNError, ImportError):
    """A package that is not installed and that only one part of the program needs.

    what: the part that needs it. package: its name for pip.
    """

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} needs {package}; install it with: pip install {package}.")
