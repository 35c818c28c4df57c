"""Chooses the processor or a GPU for the network, by its name on the command line."""

from __future__ import annotations

import torch

from fastrcnn.errors import RecipeError


def choose(name: str) -> torch.device:
    """The device of this name: auto (CUDA if there is one), cpu, cuda, cuda:1 or mps.

    Raises RecipeError if the device does not exist.
    """
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    there = ["cpu", *(["cuda"] if cuda else []), *(f"cuda:{number}" for number in range(cuda))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if name not in there:
        raise RecipeError(f"There is no device {name!r} here; there are {', '.join(there)}.")
    return torch.device(name)


def is_processor(device: torch.device) -> bool:
    """Whether to use the code paths made for a processor on this device."""
    return device.type == "cpu"
