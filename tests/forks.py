"""Processes that are forked from one server process, which has everything imported already.

So a start takes some hundredths of a second and not the seconds that torch needs.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import torch

CONTEXT = multiprocessing.get_context("forkserver")
# With torchvision, or every process would spend its first second on that.
CONTEXT.set_forkserver_preload(["tests.training.kills", "torchvision"])


def start(work: Callable[..., None], *arguments: object, **environment: str) -> BaseProcess:
    """A process that runs `work` on one thread, with these variables in its environment."""
    # A daemon, so that one that hangs ends with the tests.
    process = CONTEXT.Process(target=_run, args=(environment, work, *arguments), daemon=True)
    process.start()
    return process


def finish(*processes: BaseProcess) -> None:
    """Wait for their end, which must be a good one."""
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def run_as_group(work: Callable[..., None], *arguments: object, size: int = 2) -> None:
    """Run `work` in so many processes to its end, each with the variables that torchrun sets."""
    group = {
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    ranks = map(str, range(size))
    finish(*[start(work, *arguments, RANK=rank, LOCAL_RANK=rank, **group) for rank in ranks])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _run(environment: dict[str, str], work: Callable[..., None], *arguments: object) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    work(*arguments)
