"""What a trainer tells whoever reads it: plain values, one record at a time.

Iterations and epochs count from 1. Losses are means over the sampled RoIs, and `loss` is the class
loss plus lambda times the box loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fastrcnn.training.batches import Sample


@dataclass(frozen=True)
class Progress:
    """`done` of `total` pictures of a longer stage between steps: "targets" or "validation"."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Step:
    """One mini-batch was learned.

    seconds: what it took. seconds_left: the estimate until the last iteration, validation not
    counted. foreground, background: how many RoIs of each kind the mini-batch had. batch: its
    pictures and RoIs; of several processes each knows its own share.
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
    """The mean losses of the epoch's steps. The last epoch of a run may be a part of one."""

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
