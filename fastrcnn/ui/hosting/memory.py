"""What visitors' work takes of the memory, and how much of it they may.

Counted are the arrays and tensors that are kept: a picture with the steps of its analysis, a
detector that a visitor trained, and a training's network, gradients and optimizer.
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

_PER_WEIGHT = {"sgd": 1, "adam": 2, "adamw": 2}  # what an optimizer keeps for each
MB = 2**20


class Full(FastRCNNError):
    """There is no memory left for it."""


class Memory:
    """Who holds how much.

    holders: each gives the bytes that a session holds, or with None those of all sessions.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.holders: list[Callable[[str | None], int]] = []

    def left(self, session: str | None) -> float:
        """The bytes that a session may still take, by its own limit; with None by that of all."""
        most = self._limits.memory_mb if session is None else self._limits.session_mb
        return most * MB - sum(held(session) for held in self.holders)

    def ask(self, session: str, size: float, instead_of: float = 0) -> None:
        """Whether there is room for so many bytes more. Raises Full, in one sentence.

        instead_of: the bytes that are freed for them.
        """
        told = f"{size / MB:,.0f}"
        if self.left(session) + instead_of < size:
            most = f"{self._limits.session_mb:g}"
            raise Full(text("server.memory-own", size=told, most=most))
        if self.left(None) + instead_of < size:
            most = f"{self._limits.memory_mb:g}"
            raise Full(text("server.memory-all", size=told, most=most))


def size_of(*held: object) -> int:
    """The bytes of all arrays and tensors in dataclasses, tuples, lists and modules, each once."""
    sizes: dict[int, int] = {}
    _weigh(held, sizes)
    return sum(sizes.values())


def _weigh(held: object, sizes: dict[int, int]) -> None:
    if isinstance(held, np.ndarray):
        while isinstance(held.base, np.ndarray):
            held = held.base
        sizes[held.__array_interface__["data"][0]] = held.nbytes
    elif isinstance(held, Tensor):
        storage = held.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(held, nn.Module):
        _weigh([*held.parameters(), *held.buffers()], sizes)
    elif isinstance(held, list | tuple):
        for item in held:
            _weigh(item, sizes)
    elif is_dataclass(held):
        for field in fields(held):
            _weigh(getattr(held, field.name), sizes)


@lru_cache(maxsize=32)
def training_size(recipe: Recipe) -> int:
    """The bytes of a training's weights, gradients, averages and starts, and the optimizer's."""
    with torch.device("meta"):
        model = FastRCNN(recipe.network_config(VOC_CLASSES))
    model.freeze(recipe.first_trainable)
    copies = {True: 2 + _PER_WEIGHT[recipe.optimizer] + recipe.averages, False: 1}
    size = sum(p.nbytes * copies[p.requires_grad] for p in model.parameters())
    if recipe.needs_start:
        size += sum(p.nbytes for p in model.backbone.parameters() if p.requires_grad)
    return size
