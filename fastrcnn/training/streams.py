"""Random numbers that follow from the seed and a place in the run, and from nothing else."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are drawn for; each use has its own, independent of the others."""

    SPLIT = 0
    STATISTICS = 1
    ORDER = 2
    SAMPLING = 3
    VALIDATION = 4
    DROPOUT = 5
    SCALE = 6
    VIEW = 7


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """The random numbers of one place in a run."""
    return np.random.default_rng((seed, stream, *position))
