"""Chooses the pictures of each mini-batch."""

from __future__ import annotations

import numpy as np

from fastrcnn.data import Dataset
from fastrcnn.errors import RecipeError
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.streams import Stream, generator


class Order:
    """Every epoch goes through the pictures, and their mirror images, in a new order.

    If some pictures are used more often than others, an epoch still has the same number of views,
    and each picture gets its share of them. Pictures that do not fill a last mini-batch are left
    out. Pictures of one orientation go together to keep the padding small; at most one mini-batch
    has both.
    """

    def __init__(self, recipe: Recipe, train: Dataset) -> None:
        """Raises RecipeError if there are too few pictures for one mini-batch."""
        self._seed, self._count = recipe.seed, recipe.images_per_batch
        self._pictures = len(train)
        self._entries = len(train) * (2 if recipe.flip else 1)
        self._weights = _weights(recipe, train)
        self._tall = np.array([item.height > item.width for item in train])
        self._latest: tuple[int, np.ndarray] = (-1, np.zeros(0))
        self.per_epoch = self._entries // self._count
        if not self.per_epoch:
            raise RecipeError(
                f"images_per_batch is {self._count}, but {train.name} has only {self._entries} "
                f"pictures, mirrored ones included; lower it."
            )

    def batch(self, iteration: int) -> list[tuple[int, bool]]:
        """The N pictures of a mini-batch by number, and whether each is mirrored."""
        epoch, position = divmod(iteration, self.per_epoch)
        if self._latest[0] != epoch:
            self._latest = epoch, self._epoch(epoch)
        return [
            (int(entry) % self._pictures, int(entry) >= self._pictures)
            for entry in self._latest[1][position]
        ]

    def _epoch(self, epoch: int) -> np.ndarray:
        """(per_epoch, N): the entries of each mini-batch of an epoch.

        An entry is a picture's number. A mirror image has the number of all pictures added to it.
        """
        draw = generator(self._seed, Stream.ORDER, epoch)
        entries = draw.permutation(self._entries)
        if self._weights is not None:
            entries = draw.permutation(self._repeated(entries, draw.random()))
        entries = entries[: self.per_epoch * self._count]
        tall = self._tall[entries % self._pictures]
        batches = np.concatenate([entries[~tall], entries[tall]]).reshape(self.per_epoch, -1)
        return draw.permutation(batches)

    def _repeated(self, entries: np.ndarray, offset: float) -> np.ndarray:
        """The same number of entries, each repeated by its weight, rounded up or down.

        Systematic sampling: the weights lie one after another on a line. Marks stand on the line
        at a distance of 1, the first at `offset`. An entry is taken once for each mark in it.
        """
        assert self._weights is not None
        ends = self._weights[entries % self._pictures].cumsum()
        ends *= len(entries) / ends[-1]
        ends[-1] = len(entries)  # undo rounding, to keep the exact number of entries
        marks = np.floor(ends + offset).astype(int).clip(max=len(entries))
        return np.repeat(entries, np.diff(marks, prepend=0))


def _weights(recipe: Recipe, train: Dataset) -> np.ndarray | None:
    """How often each picture is used, relative to the others; None: all equally often."""
    weights = np.ones(len(train))
    if recipe.balance:
        classes = [np.unique(item.labels) for item in train]
        frequency = np.bincount(np.concatenate(classes), minlength=1) / len(train)
        for index, own in enumerate(classes):
            rarest = frequency[own].min(initial=1)
            weights[index] = max(np.sqrt(recipe.balance / rarest), 1)
    if recipe.data_shares:
        parts = np.array([item.part for item in train])
        found = np.unique(parts).tolist()
        if found != list(range(len(recipe.data_shares))):
            raise RecipeError(
                f"data_shares has {len(recipe.data_shares)} shares, but {train.name} is "
                f"{len(found)} data sets; give as many, or --set data_shares= for none."
            )
        for part, share in enumerate(recipe.data_shares):
            own = parts == part
            weights[own] *= share / weights[own].sum()
    return weights if np.ptp(weights) > 0 else None
