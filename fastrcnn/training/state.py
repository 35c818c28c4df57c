"""A run's state on disk: one safetensors file with a JSON header, replaced in one step."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastrcnn.errors import CheckpointError, reason
from fastrcnn.runtime.atomic_write import written_whole

_HEADER_KEY = "fastrcnn_run"
_OPTIMIZER_KEYS = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}


def save_state(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write the state; at any moment `path` holds a whole one, the old or the new.

    Raises CheckpointError when it cannot be written.
    """
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with written_whole(path) as part:
            save_file(tensors, part, metadata={_HEADER_KEY: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The state of the run cannot be written to {path} ({reason(error)}); make room, or "
            f"name another folder."
        ) from error


def load_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `save_state` wrote; every number in it is finite.

    Raises CheckpointError for any other file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER_KEY])
            # Copies: the tensors of an open file are views of it, and it is going to be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    # RecursionError: brackets nested thousands deep.
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not the state of a training run ({reason(error)}); delete it to start anew."
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(
            f"{path} is not the state of a training run (its header is no set of names and "
            f"values); delete it to start anew."
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{path} holds values of {name} that are not finite numbers; delete it to start "
                f"anew."
            )
    return tensors, header


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state per parameter, as tensors with names."""
    return {
        f"{index}.{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`, for an optimizer of the same parameters.

    Raises ValueError where the tensors are not the state of such an optimizer.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    keys = _OPTIMIZER_KEYS[type(optimizer)]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if key not in keys or index not in map(str, range(len(parameters))):
            raise ValueError(f"{name} is no part of the optimizer")
        shape = torch.Size() if key == "step" else parameters[int(index)].shape
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}, not {list(shape)}")
        state.setdefault(int(index), {})[key] = tensor
    for number, values in state.items():
        if values.keys() != keys:
            raise ValueError(f"{number} lacks a part of the optimizer's state")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
