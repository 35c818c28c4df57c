"""Reads foreign JSON value by value, with errors that name the file and the field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastrcnn.errors import DataError, reason, shown

# Whole numbers in JSON may have any length. No count or coordinate comes near this limit.
_LIMIT = 1e12
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Field:
    """A value and its place, for instance ``images[3].width`` of `path`.

    Each method gives the value as the type it expects, and raises DataError for any other.
    """

    path: Path
    place: str
    value: object

    def __getitem__(self, key: str) -> Field:
        if not isinstance(self.value, dict):
            raise self.error("an object")
        place = f"{self.place}.{key}" if self.place else key
        if key not in self.value:
            raise DataError(f"{self.path} has no {place}.")
        return Field(self.path, place, self.value[key])

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def __iter__(self) -> Iterator[Field]:
        if not isinstance(self.value, list):
            raise self.error("a list")
        for index, item in enumerate(self.value):
            yield Field(self.path, f"{self.place}[{index}]", item)

    def text(self) -> str:
        """A printable string. JSON may also hold control codes and halves of characters."""
        if not isinstance(self.value, str) or _UNWRITABLE.search(self.value):
            raise self.error("a text")
        return self.value

    def whole(self) -> int:
        """A whole number, not a truth value and not absurdly large."""
        if (
            isinstance(self.value, bool)
            or not isinstance(self.value, int)
            or not -_LIMIT < self.value < _LIMIT
        ):
            raise self.error("a whole number")
        return self.value

    def number(self) -> float:
        """A number, not a truth value, not NaN and not absurdly large."""
        if (
            isinstance(self.value, bool)
            or not isinstance(self.value, (int, float))
            or not -_LIMIT < self.value < _LIMIT
        ):
            raise self.error("a number")
        return float(self.value)

    def numbers(self, count: int) -> list[float]:
        """A list of exactly `count` numbers."""
        if not isinstance(self.value, list) or len(self.value) != count:
            raise self.error(f"a list of {count} numbers")
        return [item.number() for item in self]

    def error(self, wanted: str) -> DataError:
        """The error to raise if this value is not `wanted`."""
        place = self.place or "the document"
        return DataError(f"{self.path}: {place} is {shown(self.value)}; wanted {wanted}.")


def read_json(path: Path) -> Field:
    """The whole document. Raises DataError where it cannot be read or is not JSON."""
    try:
        return Field(path, "", json.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    # RecursionError: brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {reason(error)}.") from error
