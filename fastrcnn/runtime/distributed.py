"""Several processes, one run: processes that ``torchrun`` starts share their work through this.

Without ``torchrun`` there is one process, of rank 0, and every call below still works. NCCL carries
tensors on GPUs, one GPU for each process of a machine, and gloo carries the rest.
"""

from __future__ import annotations

import gc
import os
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fastrcnn.errors import RecipeError

T = TypeVar("T")

_PROCESSOR = torch.device("cpu")


def init(device: torch.device = _PROCESSOR) -> torch.device:
    """Join the other processes that ``torchrun`` started. Does nothing if there are none.

    Returns the device for this process. If several processes use CUDA, each gets the GPU of its own
    number. Raises RecipeError if a machine has more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or _joined():
        return device
    # Its functions have the present group as a default argument. Imported later, by an optimizer,
    # it would keep the group after `shutdown`, and gloo's threads abort a process that ends.
    import torch.distributed.nn

    if device.type != "cuda":
        dist.init_process_group("gloo")
        return device
    own = int(os.environ["LOCAL_RANK"])
    if own >= torch.cuda.device_count():
        raise RecipeError(
            f"This machine has {torch.cuda.device_count()} GPUs; start no more processes on it, or "
            f"compute on the processor with --device cpu."
        )
    device = torch.device("cuda", own)
    torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl")
    return device


def shutdown() -> None:
    """Leave the group, if this process is in one."""
    if _joined():
        dist.destroy_process_group()
        # DistributedDataParallel holds the group and is part of a reference cycle.
        gc.collect()


def rank() -> int:
    """This process's number; 0 is the one that prints and writes files."""
    return dist.get_rank() if _joined() else 0


def world_size() -> int:
    """How many processes share the work."""
    return dist.get_world_size() if _joined() else 1


def processes_here() -> int:
    """How many of these processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _joined() else 1


def gather_objects(item: T) -> list[T]:
    """Every process's `item`, in order of rank, on every process."""
    if not _joined():
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def broadcast_object(item: T) -> T:
    """Rank 0's `item`, on every process."""
    if not _joined():
        return item
    items = [item]
    dist.broadcast_object_list(items, src=0)
    return items[0]


def add_up(tensor: Tensor) -> Tensor:
    """The sum of every process's `tensor`, in place and on every process."""
    if _joined():
        dist.all_reduce(tensor)
    return tensor


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
