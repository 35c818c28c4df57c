"""Checkpoints: safetensors files. The header says in JSON what the network is and how it was made.

Nothing in such a file is ever executed, so a file from any source can be opened safely. A file that
is not one of our checkpoints gives a CheckpointError that says why.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastrcnn.errors import CheckpointError, RecipeError, reason, shown
from fastrcnn.model.fast_rcnn import FastRCNN, ModelConfig
from fastrcnn.runtime.atomic_write import atomic_write
from fastrcnn.runtime.shipped import shipped

DEFAULT_CHECKPOINT = shipped("checkpoints") / "fast_rcnn_vgg16_voc07.safetensors"
_FORMAT_VERSION = 1
_HEADER_KEY = "fastrcnn"
_FLOATS = ("F16", "BF16", "F32")
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def save_checkpoint(
    path: str | Path, model: FastRCNN, metadata: dict | None = None, half: bool = False
) -> None:
    """Write the model's weights and settings, and `metadata` (recipe, data, metrics, licences).

    metadata: values that JSON can hold. The keys "format_version" and "model" are reserved. half:
    store 16-bit floats, except for tensors with values beyond their range (65504). An existing file
    is replaced in one step: after a crash the old or the new file is there, and it is whole. Raises
    CheckpointError when the file cannot be written, ValueError for metadata that JSON cannot hold,
    such as NaN.
    """
    path = Path(path)
    header = dict(metadata or {})
    header |= {"format_version": _FORMAT_VERSION, "model": model.config.model_dump()}
    text = json.dumps(header, allow_nan=False)
    tensors = {name: _stored(tensor, half) for name, tensor in model.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            save_file(tensors, part, metadata={_HEADER_KEY: text})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written ({reason(error)}); make room, or name "
            f"another file."
        ) from error


def load_checkpoint(path: str | Path | None = None) -> tuple[FastRCNN, dict]:
    """The model, ready to detect (in eval mode, float32), and the metadata it was saved with.

    path: by default $FASTRCNN_CHECKPOINT, or else the checkpoint that ships with the project.
    Raises CheckpointError when there is no such file, or it is not a complete checkpoint of this
    program.
    """
    path = Path(path or os.environ.get("FASTRCNN_CHECKPOINT") or DEFAULT_CHECKPOINT)
    try:
        if not path.is_file():
            raise CheckpointError(f"There is no checkpoint file {path}.")
        with open(path, "rb") as file:
            if file.read(4).startswith(_PICKLES):
                raise CheckpointError(
                    f"{path} is a PyTorch pickle, which can run code when it is opened; only "
                    f"safetensors checkpoints made by this program are read."
                )
        with safe_open(path, framework="pt") as file:
            metadata, config = _read_header(file.metadata())
            # On the meta device nothing is allocated or initialised: the shapes are all we need.
            with torch.device("meta"):
                model = FastRCNN(config)
            tensors = _read_tensors(file, model.state_dict())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {reason(error)}."
        ) from error
    except _Unusable as error:
        raise CheckpointError(f"{path} is not a checkpoint of this program: {error}.") from error
    except RecipeError as error:
        raise CheckpointError(
            f"{path} has model settings that cannot work: {reason(error)}."
        ) from error
    model.load_state_dict(tensors, assign=True)
    return model.eval(), metadata


class _Unusable(Exception):
    """Why a safetensors file is not one of our checkpoints."""


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if half and tensor.is_floating_point():
        halved = tensor.half()
        return halved if halved.isfinite().all() else tensor
    return tensor


def _read_header(header: dict[str, str] | None) -> tuple[dict, ModelConfig]:
    try:
        values = json.loads((header or {})[_HEADER_KEY])
    except KeyError as error:
        raise _Unusable("its header does not describe a Fast R-CNN") from error
    except (ValueError, RecursionError) as error:
        raise _Unusable("its description is not JSON") from error
    if not isinstance(values, dict):
        raise _Unusable("its description is not a set of names and values")
    version = values.pop("format_version", None)
    if version != _FORMAT_VERSION:
        raise _Unusable(
            f"it has format version {shown(version)}, and {_FORMAT_VERSION} is known here"
        )
    settings = values.pop("model", None)
    if not isinstance(settings, dict):
        raise _Unusable("it has no settings of a model")
    return values, ModelConfig(**settings)


def _read_tensors(file: safe_open, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    names = set(file.keys())
    if missing := sorted(expected.keys() - names):
        raise _Unusable(f"{len(missing)} tensors are missing, {missing[0]} for one")
    if extra := sorted(names - expected.keys()):
        raise _Unusable(
            f"{len(extra)} tensors have no place in the network, {shown(extra[0])} for one"
        )
    tensors = {}
    for name, tensor in expected.items():
        stored = file.get_slice(name)
        shape, kind = list(stored.get_shape()), stored.get_dtype()
        if shape != list(tensor.shape):
            raise _Unusable(f"{name} has shape {shape}, not {list(tensor.shape)}")
        if kind not in (_FLOATS if tensor.is_floating_point() else ("I64",)):
            raise _Unusable(f"{name} holds {kind} numbers, which it should not")
        # A copy, because the tensor is a view of the file and would change if the file did.
        values = file.get_tensor(name).to(tensor.dtype, copy=True)
        if not values.isfinite().all():
            raise _Unusable(f"{name} has values that are not finite numbers")
        tensors[name] = values
    return tensors
