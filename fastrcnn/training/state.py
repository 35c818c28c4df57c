"""A run's state on disk: one safetensors file with a JSON header, replaced in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastrcnn.errors import CheckpointError

_HEADER_KEY = "fastrcnn_run"


def save_state(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write the state; at any moment `path` holds a whole one, the old or the new.

    Raises CheckpointError when it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(tensors, part, metadata={_HEADER_KEY: json.dumps(header)})
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The state of the run cannot be written to {path} ({error}); make room, or name "
            f"another folder."
        ) from error


def load_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `save_state` wrote. Raises CheckpointError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER_KEY])
            # Copies: the tensors of an open file are views of it, and it is going to be replaced.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, header  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not the state of a training run ({error}); delete it to start anew."
        ) from error


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state per parameter, as tensors with names."""
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`, for an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
