"""An optimizer's state as tensors with names, and back."""

from __future__ import annotations

import torch
from torch import Tensor

_OPTIMIZER_KEYS = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}


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
