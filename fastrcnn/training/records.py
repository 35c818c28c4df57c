"""The records that a trainer gives to its reader, one at a time, as plain values.

Iterations and epochs count from 1. Losses are means over the sampled RoIs, and `loss` is the class
loss plus lambda times the box loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fastrcnn.training.batches import Sample


@dataclass(frozen=True)
class Progress:
    """`done` of `total` pictures of a longer stage between steps: "targets" or "validation"."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the network made of each of the r RoIs of a `Sample`, before it learned from them.

    losses_cls, losses_loc: (r,) float32, the two losses of each RoI. predicted, targets: (r, 4)
    float32, the box numbers that were predicted for the RoI's class and those that were right, both
    normalised. The numbers of background RoIs are not learned from.
    """

    losses_cls: np.ndarray
    losses_loc: np.ndarray
    predicted: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Step:
    """One mini-batch was learned.

    seconds: the time it took. seconds_left: the estimated time until the last iteration, without
    validation. foreground, background: the number of RoIs of each kind in the mini-batch. batch:
    its pictures and RoIs; with several processes, only the share of this one. outcomes: what the
    network made of each picture's RoIs.
    """

    iteration: int
    iterations: int
    epoch: int
    loss: float
    loss_cls: float
    loss_loc: float
    lr: float
    foreground: int
    background: int
    seconds: float
    seconds_left: float
    batch: tuple[Sample, ...] = field(repr=False)
    outcomes: tuple[Outcome, ...] = field(repr=False)


@dataclass(frozen=True)
class Validation:
    """The losses on the validation pictures, dropout off."""

    iteration: int
    epoch: int
    loss: float
    loss_cls: float
    loss_loc: float


@dataclass(frozen=True)
class EpochEnd:
    """The mean losses of the epoch's steps. The last epoch of a run may be incomplete."""

    iteration: int
    epoch: int
    loss: float
    loss_cls: float
    loss_loc: float


@dataclass(frozen=True)
class CheckpointSaved:
    """The run can be resumed from here."""

    iteration: int
    path: Path


@dataclass(frozen=True)
class Finished:
    """The trained model is in `path`."""

    iteration: int
    path: Path


Record = Progress | Step | Validation | EpochEnd | CheckpointSaved | Finished
