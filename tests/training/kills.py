"""Killing processes at random moments, and looking at what they left."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fastrcnn.model import save_checkpoint
from fastrcnn.runtime.array_folder import ArrayFolder
from fastrcnn.training import CheckpointSaved
from fastrcnn.training.run_folder import save_state
from tests import forks
from tests.model.tiny import tiny_model
from tests.training.tiny import trainer


def kill(work: Callable[..., None], *arguments: object, within: float) -> None:
    """Run `work` in a process and kill it `within` so many seconds of its first sign of life.

    work: is given what to call for that, first of all. It must not end by itself.
    """
    ready = forks.CONTEXT.Event()
    child = forks.start(work, ready.set, *arguments)
    assert ready.wait(120)
    time.sleep(random.random() * within)
    child.kill()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, child.exitcode


def run(work: Callable[..., None], *arguments: object) -> None:
    """The same to its end."""
    ready = forks.CONTEXT.Event()
    forks.finish(forks.start(work, ready.set, *arguments))


def train(
    alive: Callable[[], None], out: Path, settings: tuple[str, ...], until: int = 10**6
) -> None:
    """Train, or go on, until the state of iteration `until` is saved."""
    for record in trainer(out, *settings, resume=True):
        alive()
        if isinstance(record, CheckpointSaved) and record.iteration == until:
            return


def write_states(alive: Callable[[], None], path: Path) -> None:
    """States one after another, each with its number in every value and in the header."""
    for number in range(10**6):
        save_state(path, {"values": torch.full((400_000,), number)}, {"number": number})
        alive()


def write_checkpoints(alive: Callable[[], None], path: Path) -> None:
    """Checkpoints one after another, each with its number in a bias and in the metadata."""
    model = tiny_model(fc6=600, fc7=600)
    for number in range(10**6):
        model.head.fc6.bias.data.fill_(number % 1000)
        model.head.fc7.bias.data.fill_(number % 1000)
        save_checkpoint(path, model, {"number": number % 1000})
        alive()


def cached(root: Path) -> ArrayFolder:
    return ArrayFolder(root, "kills", {"made_by": "a test"})


def array(number: int) -> np.ndarray:
    return np.full((300, 400), number, np.float32)


def fill_cache(alive: Callable[[], None], root: Path, pictures: Path) -> None:
    """Arrays one after another, for a picture each; the files are made over and over."""
    folder = cached(root)
    while True:
        for number in range(20):
            path = folder.path(pictures / f"{number}.png")
            path.unlink(missing_ok=True)
            folder.get(path, lambda number=number: array(number))
            alive()
