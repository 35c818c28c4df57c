"""A run's state on disk: one safetensors file with a JSON header, replaced in one step."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastrcnn.errors import CheckpointError, reason
from fastrcnn.runtime.atomic_write import atomic_write

_HEADER_KEY = "fastrcnn_run"


def save_state(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write the state; at any moment `path` holds a whole one, the old or the new.

    Raises CheckpointError when it cannot be written.
    """
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with atomic_write(path) as part:
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
