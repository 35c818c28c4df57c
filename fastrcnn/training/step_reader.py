"""Reads the results of steps from the device, some time after the steps were taken."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastrcnn.errors import RecipeError
from fastrcnn.training.batch_loss import BatchSums
from fastrcnn.training.batches import Sample
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import Outcome, Step

_PACE = 0.05  # weight of the newest step in the running mean that estimates the time left


@dataclass(frozen=True)
class Taken:
    """A step whose numbers are still on the device.

    iteration: counted from 0. values: class loss, box loss, foreground and background, summed over
    the RoIs of all processes. samples, sums: those of this process only.
    """

    iteration: int
    values: Tensor
    samples: tuple[Sample, ...]
    sums: BatchSums


class StepReader:
    """Makes records of steps. It waits for the device once for several steps."""

    def __init__(self, recipe: Recipe, iterations: int, per_epoch: int, loc_weight: float) -> None:
        self._recipe = recipe
        self._iterations = iterations
        self._per_epoch = per_epoch
        self._loc_weight = loc_weight
        self._pace: float | None = None

    def read(self, taken: Sequence[Taken], started: float) -> Iterator[Step]:
        """The records of these steps. started: the ``time.monotonic`` at which they began.

        Raises RecipeError if a loss is not finite.
        """
        values = torch.stack([step.values for step in taken]).tolist()
        each = (time.monotonic() - started) / len(taken)  # the line above waited for the device
        for step, (cls, loc, foreground, background) in zip(taken, values, strict=True):
            losses = self.losses(step.iteration, cls, loc, foreground + background)
            pace = each if self._pace is None else self._pace
            self._pace = pace + _PACE * (each - pace)
            done = step.iteration + 1
            batch, outcomes = _learned(step)
            yield Step(
                iteration=done,
                iterations=self._iterations,
                epoch=math.ceil(done / self._per_epoch),
                loss=losses[0],
                loss_cls=losses[1],
                loss_loc=losses[2],
                lr=self._recipe.learning_rate(step.iteration, self._iterations),
                foreground=round(foreground),
                background=round(background),
                seconds=each,
                seconds_left=self._pace * (self._iterations - done),
                batch=batch,
                outcomes=outcomes,
            )

    def losses(
        self, iteration: int, cls: float, loc: float, count: float
    ) -> tuple[float, float, float]:
        """Total, class and box loss: means over `count` RoIs, computed from the sums.

        Raises RecipeError if they are not finite.
        """
        cls, loc = cls / max(count, 1), loc / max(count, 1)
        total = cls + self._loc_weight * loc
        if not math.isfinite(total):
            lr = self._recipe.learning_rate(iteration, self._iterations)
            raise RecipeError(
                f"The loss is {total} after {iteration} iterations: the training diverged; lower "
                f"lr (now {lr:g}), or give a longer warmup or a larger divisor."
            )
        return total, cls, loc


def _learned(step: Taken) -> tuple[tuple[Sample, ...], tuple[Outcome, ...]]:
    """The samples of a step and what the network made of them.

    With hard examples, only the RoIs that were learned from.
    """
    samples, rows = step.samples, step.sums.rows.cpu()
    if step.sums.chosen is None or step.sums.found is None:
        tables = rows.split([len(sample.labels) for sample in samples])
    else:
        chosen, found = step.sums.chosen.cpu(), step.sums.found.cpu()
        samples = tuple(
            sample.only(own[there].numpy())
            for sample, own, there in zip(samples, chosen, found, strict=True)
        )
        tables = rows[found.flatten()].split(found.sum(dim=1).tolist())
    return samples, tuple(_outcome(table.numpy()) for table in tables)


def _outcome(rows: np.ndarray) -> Outcome:
    return Outcome(rows[:, 0], rows[:, 1], predicted=rows[:, 2:6], targets=rows[:, 6:])
