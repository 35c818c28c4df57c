"""Random numbers that follow from the seed and a place in the run, and from nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

# torch's random numbers, which dropout uses, are one stream per process. Whoever sets its seed
# holds this until done, so that runs in several threads do not disturb each other.
_RANDOM = threading.Lock()


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


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's random numbers from `seed` on, and afterwards where they were."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with _RANDOM, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
