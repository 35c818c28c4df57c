"""How much memory visitors use, and how much they may use.

This counts the arrays and tensors that are kept: a picture with its analysis, a detector that a
visitor trained, and a training's network, gradients and optimizer state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from fastrcnn.data import VOC_CLASSES
from fastrcnn.errors import FastRCNNError
from fastrcnn.model import FastRCNN
from fastrcnn.training.recipe import Recipe
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.texts import text

_STATE_PER_WEIGHT = {"sgd": 1, "adam": 2, "adamw": 2}  # numbers that an optimizer keeps
MB = 2**20


class Full(FastRCNNError):
    """A visitor, or all visitors together, would use more memory than allowed."""


class Memory:
    """The memory that sessions hold.

    holders: functions that return the bytes of a session, or with None those of all sessions.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.holders: list[Callable[[str | None], int]] = []

    def left(self, session: str | None) -> float:
        """The bytes that a session may still take. None: that all sessions may still take."""
        most = self._limits.memory_mb if session is None else self._limits.session_mb
        return most * MB - sum(held(session) for held in self.holders)

    def check(self, session: str, size: float, freed: float = 0) -> None:
        """Raises Full if a session may not take `size` more bytes.

        freed: the bytes that it frees in exchange.
        """
        shown = f"{size / MB:,.0f}"
        if self.left(session) + freed < size:
            most = f"{self._limits.session_mb:g}"
            raise Full(text("server.memory-own", size=shown, most=most))
        if self.left(None) + freed < size:
            most = f"{self._limits.memory_mb:g}"
            raise Full(text("server.memory-all", size=shown, most=most))


def size_of(*held: object) -> int:
    """The bytes of all arrays and tensors in dataclasses, tuples, lists, modules, each once."""
    sizes: dict[int, int] = {}
    _add_sizes(held, sizes)
    return sum(sizes.values())


def _add_sizes(held: object, sizes: dict[int, int]) -> None:
    """Add the bytes of each piece of memory by its address."""
    if isinstance(held, np.ndarray):
        while isinstance(held.base, np.ndarray):
            held = held.base
        sizes[held.__array_interface__["data"][0]] = held.nbytes
    elif isinstance(held, Tensor):
        storage = held.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(held, nn.Module):
        _add_sizes([*held.parameters(), *held.buffers()], sizes)
    elif isinstance(held, list | tuple):
        for item in held:
            _add_sizes(item, sizes)
    elif is_dataclass(held):
        for field in fields(held):
            _add_sizes(getattr(held, field.name), sizes)


@lru_cache(maxsize=32)
def training_size(recipe: Recipe) -> int:
    """The bytes of a training's weights, gradients, averages and starts, and the optimizer's."""
    with torch.device("meta"):
        model = FastRCNN(recipe.network_config(VOC_CLASSES))
    model.freeze(recipe.first_trainable)
    copies = {True: 2 + _STATE_PER_WEIGHT[recipe.optimizer] + recipe.averages, False: 1}
    size = sum(p.nbytes * copies[p.requires_grad] for p in model.parameters())
    if recipe.needs_start:
        size += sum(p.nbytes for p in model.backbone.parameters() if p.requires_grad)
    return size
