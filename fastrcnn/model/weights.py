"""The weights that a backbone starts with: VGG16's from ImageNet, or random ones.

VGG16's weights come from the file that ships with the project, in Caffe's form, or from
torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fastrcnn.errors import CheckpointError
from fastrcnn.model.vgg import CAFFE_MEAN_BGR, LAYERS, TORCHVISION_MEAN_RGB, TORCHVISION_STD_RGB
from fastrcnn.runtime.shipped import shipped

IMAGENET_WEIGHTS = shipped("checkpoints") / "vgg16_imagenet_conv.safetensors"

# torchvision's copy of the Caffe weights was made for RGB minus this mean.
_TORCHVISION_FEATURES_MEAN_RGB = (255 * 0.48235, 255 * 0.45882, 255 * 0.40784)


def start_vgg16(backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill VGG16 for BGR minus the Caffe mean; see `build_backbone`."""
    weights = weights or _default()
    if weights == "torchvision":
        _fill(backbone, _caffe_from_torchvision())
    else:
        _fill(backbone, _read_caffe(Path(weights)))


def start_vgg16_bn(backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill VGG16 with batch norms for torchvision's pixels; see `build_backbone`.

    To use the original weights, conv1_1 is rewritten and each batch norm becomes the identity.
    """
    weights = weights or _default()
    if weights == "torchvision":
        from torchvision.models import VGG16_BN_Weights  # late, as in torchvision_ops.py

        state = _download(VGG16_BN_Weights.IMAGENET1K_V1)
        features = nn.Sequential(*(m for layer in LAYERS for m in getattr(backbone, layer)))
        features.load_state_dict(state)
    else:
        _fill(backbone, _for_torchvision_pixels(_read_caffe(Path(weights))))


def start_at_random(layers: Mapping[str, nn.Module]) -> None:
    """Start layers before a ReLU as He et al. (2015) do, which keeps the size of activations."""
    for layer in layers.values():
        for module in layer.modules():
            # On the meta device torch draws normal numbers only with its compiler.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)


def _default() -> str | Path:
    return IMAGENET_WEIGHTS if IMAGENET_WEIGHTS.exists() else "torchvision"


def _read_caffe(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}.") from error
    for layer in LAYERS:
        if not {f"{layer}.weight", f"{layer}.bias"} <= tensors.keys():
            raise CheckpointError(f"{path} does not hold VGG16's convolutions: {layer} is missing.")
    return {key: tensor.float() for key, tensor in tensors.items()}


def _for_torchvision_pixels(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights for BGR minus the Caffe mean, rewritten for torchvision's pixels."""
    std = torch.tensor(TORCHVISION_STD_RGB, dtype=torch.float64)
    mean = torch.tensor(TORCHVISION_MEAN_RGB, dtype=torch.float64)
    caffe_mean = torch.tensor(CAFFE_MEAN_BGR, dtype=torch.float64).flip(0)
    weight = tensors["conv1_1.weight"].double().flip(1)
    # caffe input = 255 (std x + mean) - caffe mean, channel by channel.
    offset = (255 * mean - caffe_mean).view(1, 3, 1, 1)
    return tensors | {
        "conv1_1.bias": (tensors["conv1_1.bias"] + (weight * offset).sum((1, 2, 3))).float(),
        "conv1_1.weight": (weight * 255 * std.view(1, 3, 1, 1)).float(),
    }


@torch.no_grad()
def _fill(backbone: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the convolutions in; batch norms become the identity."""
    for layer in LAYERS:
        modules = getattr(backbone, layer)
        for key, parameter in modules[0].named_parameters():
            tensor = tensors[f"{layer}.{key}"]
            if tensor.shape != parameter.shape:
                raise CheckpointError(
                    f"{layer}.{key} has shape {tuple(tensor.shape)}; VGG16's is "
                    f"{tuple(parameter.shape)}."
                )
            parameter.copy_(tensor)
        for module in modules:
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(math.sqrt(1 + module.eps))


def _caffe_from_torchvision() -> dict[str, Tensor]:
    """torchvision's copy of the Caffe weights, converted back to BGR and the Caffe mean."""
    from torchvision.models import VGG16_Weights  # late, as in torchvision_ops.py

    state = _download(VGG16_Weights.IMAGENET1K_FEATURES)
    tensors = {}
    weights = [key for key in state if key.endswith(".weight")]
    for layer, key in zip(LAYERS, weights, strict=True):
        tensors[f"{layer}.weight"] = state[key]
        tensors[f"{layer}.bias"] = state[key.removesuffix("weight") + "bias"]
    rgb_mean = torch.tensor(_TORCHVISION_FEATURES_MEAN_RGB)
    offset = (torch.tensor(CAFFE_MEAN_BGR).flip(0) - rgb_mean).view(1, 3, 1, 1)
    weight = tensors["conv1_1.weight"]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + (weight * offset).sum((1, 2, 3))
    tensors["conv1_1.weight"] = weight.flip(1)
    return tensors


def _download(weights: object) -> dict[str, Tensor]:
    """torchvision's convolutions and batch norms, by their places: ``0.weight``, ..."""
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)  # type: ignore[attr-defined]
    except OSError as error:
        raise CheckpointError(
            f"torchvision's {weights} could not be downloaded ({error}); connect to the internet, "
            f"or give a file of VGG16 convolution weights."
        ) from error
    start = "features."
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
