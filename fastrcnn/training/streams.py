"""Random numbers that depend only on the seed and a place in the run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

# Dropout uses torch's random numbers, and a process has only one stream of them. A thread that sets
# the seed holds this lock until it is done, so that runs in several threads do not disturb each
# other.
_RANDOM = threading.Lock()


class Stream(IntEnum):
    """The uses of random numbers. Each has its own stream, independent of the others."""

    SPLIT = 0
    STATISTICS = 1
    ORDER = 2
    SAMPLING = 3
    VALIDATION = 4
    DROPOUT = 5
    SCALE = 6
    VIEW = 7
    LEVEL = 8


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """The random numbers of one place in a run."""
    return np.random.default_rng((seed, stream, *position))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seeds torch's random numbers with `seed`, and restores their old state afterwards."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with _RANDOM, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
