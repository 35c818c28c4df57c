"""What the network runs on: the processor, or a GPU by its name."""

from __future__ import annotations

import torch

from fastrcnn.errors import RecipeError


def choose(name: str) -> torch.device:
    """The device of this name: "auto", "cpu", "cuda", "cuda:1" or "mps".

    auto: CUDA where there is one, else the processor. Raises RecipeError for a name that is none of
    these, and for a device that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise RecipeError(f"There is no device {name!r}; use auto, cpu, cuda, cuda:1 or mps.")
    if not _is_there(device):
        raise RecipeError(f"This machine has no device {name!r}; use auto or cpu.")
    return device


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or torch.backends.mps.is_available()


def is_processor(device: torch.device) -> bool:
    """Whether what is computed on this device takes the paths made for a processor."""
    return device.type == "cpu"
