"""What can be wrong with what a user hands in; each message is one sentence that says so."""

from __future__ import annotations


class FastRCNNError(ValueError):
    """Base of every error that is the input's fault, not the program's."""


class ImageError(FastRCNNError):
    """A picture that cannot be read."""


class DataError(FastRCNNError):
    """A data set, annotation or proposal file that cannot be used."""


class CheckpointError(FastRCNNError):
    """A weights file that cannot be used."""


class RecipeError(FastRCNNError):
    """A setting, of a model or of a training run, that cannot work."""
