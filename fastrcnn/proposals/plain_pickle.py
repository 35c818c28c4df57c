"""Reads pickles of plain values and NumPy arrays without running anything that they name.

A pickle is a program that calls what it names. NumPy's own functions to rebuild arrays trust their
arguments, and a damaged pickle makes them crash. So every name stands for something of this module
here, which checks what it is given, and any other name is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

# Numbers, texts and objects, as NumPy names them: <f8, i4, U6, O8.
_KIND = re.compile(r"[<>|=]?([biufSU]\d{1,4}|O8?)")


def read_plain(file: IO[bytes]) -> Any:
    """Dictionaries, lists, plain values and arrays. Arrays of objects become lists.

    Raises UnpicklingError for a pickle that names anything else. A damaged one may raise any
    exception.
    """
    content = file.read()
    for opcode, argument, _ in pickletools.genops(content):
        # Python makes room for as many remembered values as the highest number that comes.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError("it remembers more values than it has bytes")
    return _finished(_Unpickler(io.BytesIO(content)).load())


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        # latin1: for arrays that Python 2 wrote.
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace("numpy.core.", "numpy._core.")
        if (place, name) not in _NAMES:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, and only plain arrays are read from a pickle"
            )
        return _NAMES[place, name]


class _Kind:
    """Stands for numpy.dtype: a name of numbers, texts or objects, and their byte order."""

    def __init__(self, name: str, *_: object) -> None:
        if not _KIND.fullmatch(name):
            raise pickle.UnpicklingError("it holds an array of other things than numbers")
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        order = state[1]
        if order in ("<", ">"):
            self.name = order + self.name.lstrip("<>|=")


class _Array:
    """Stands for numpy.ndarray, first empty, then filled by the state that follows."""

    value: Any = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        if "O" in kind.name:
            self.value = list(content)
        else:
            content = content.encode("latin1") if isinstance(content, str) else content
            self.value = _from_bytes(content, kind, shape, "F" if fortran else "C")


def _from_bytes(content: bytes, kind: _Kind, shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(content, np.dtype(kind.name)).reshape(shape, order=order)


def _finished(value: Any) -> Any:
    """The same with arrays in place of what stood for them."""
    if isinstance(value, _Array):
        return _finished(value.value)
    if isinstance(value, Mapping):
        return {key: _finished(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finished(item) for item in value]
    return value


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "scalar"): lambda kind, content: _from_bytes(
        content, kind, (1,), "C"
    )[0],
    ("numpy._core.numeric", "_frombuffer"): _from_bytes,
    # The bytes of an array as older pickles write them.
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
}
