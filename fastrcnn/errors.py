"""What can be wrong with what a user hands in; each message is one sentence that says so."""

from __future__ import annotations

_LONGEST_REASON = 150
_LONGEST_VALUE = 60


def reason(error: Exception) -> str:
    """What went wrong, for use within a sentence: one line, without full stop, not too long.

    Libraries put what they like into their messages, the file's own bytes included.
    """
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".")
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


def shown(value: object) -> str:
    """A value from a file, for use within a sentence: as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a very large number"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


class FastRCNNError(ValueError):
    """Base of every error that is the input's fault, not the program's."""


class ImageError(FastRCNNError):
    """A picture that cannot be read or written."""


class DataError(FastRCNNError):
    """A data set, annotation or proposal file that cannot be used."""


class CheckpointError(FastRCNNError):
    """A weights file that cannot be used."""


class RecipeError(FastRCNNError):
    """A setting, of a model or of a training run, that cannot work."""


class MissingPackageError(FastRCNNError, ImportError):
    """A package that only one part of the program needs, and that is not installed.

    what: the part. package: what pip is to install.
    """

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} needs {package}; install it with: pip install {package}.")
