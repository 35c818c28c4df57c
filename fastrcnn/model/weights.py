"""The weights that a backbone starts with: VGG16's from ImageNet, or random ones.

VGG16's come as Caffe had them, from the file that ships with the project, or from torchvision.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fastrcnn.errors import CheckpointError, RecipeError
from fastrcnn.model.backbone import BACKBONES, Backbone
from fastrcnn.model.vgg import CAFFE_MEAN_BGR, LAYERS, TORCHVISION_MEAN_RGB, TORCHVISION_STD_RGB

IMAGENET_WEIGHTS = Path(__file__).parents[2] / "checkpoints" / "vgg16_imagenet_conv.safetensors"

# torchvision's copy of the Caffe weights was made for RGB minus this mean.
_TORCHVISION_FEATURES_MEAN_RGB = (255 * 0.48235, 255 * 0.45882, 255 * 0.40784)


def build_backbone(name: str = "vgg16", weights: str | Path | None = None) -> Backbone:
    """A backbone as training starts: VGG16 with ImageNet weights, another with random ones.

    weights: a safetensors file of the original VGG16 convolutions (keys ``conv1_1.weight``, ...,
    BGR order), "torchvision" to download torchvision's own, or None: the file that ships with the
    project, or the download where there is no such file. Raises CheckpointError, and RecipeError
    for weights that are to go into another backbone than VGG16.
    """
    backbone = Backbone(name)
    if not BACKBONES[name].vgg16:
        if weights is not None:
            raise RecipeError(f"The {name} backbone starts at random; it takes no VGG16 weights.")
        _start_at_random(backbone)
        return backbone
    if weights is None:
        weights = IMAGENET_WEIGHTS if IMAGENET_WEIGHTS.exists() else "torchvision"
    if weights == "torchvision":
        _load_torchvision(backbone)
    else:
        _load_caffe(backbone, _read_caffe(Path(weights)))
    return backbone


def _start_at_random(backbone: Backbone) -> None:
    """As He et al. (2015) start layers before a ReLU, which keeps the size of what goes through."""
    for layer in backbone.layers:
        convolution = getattr(backbone, layer)[0]
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.zeros_(convolution.bias)


def _read_caffe(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}.") from error
    for layer in LAYERS:
        if not {f"{layer}.weight", f"{layer}.bias"} <= tensors.keys():
            raise CheckpointError(f"{path} does not hold VGG16's convolutions: {layer} is missing.")
    return {key: tensor.float() for key, tensor in tensors.items()}


def _load_caffe(backbone: Backbone, tensors: dict[str, Tensor]) -> None:
    """Put weights made for BGR minus the Caffe mean into either backbone."""
    if backbone.name == "vgg16_bn":
        std = torch.tensor(TORCHVISION_STD_RGB, dtype=torch.float64)
        mean = torch.tensor(TORCHVISION_MEAN_RGB, dtype=torch.float64)
        caffe_mean = torch.tensor(CAFFE_MEAN_BGR, dtype=torch.float64).flip(0)
        weight = tensors["conv1_1.weight"].double().flip(1)
        # caffe input = 255 (std x + mean) - caffe mean, channel by channel.
        offset = (255 * mean - caffe_mean).view(1, 3, 1, 1)
        tensors = tensors | {
            "conv1_1.bias": (tensors["conv1_1.bias"] + (weight * offset).sum((1, 2, 3))).float(),
            "conv1_1.weight": (weight * 255 * std.view(1, 3, 1, 1)).float(),
        }
    with torch.no_grad():
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


def _load_torchvision(backbone: Backbone) -> None:
    from torchvision.models import (
        VGG16_BN_Weights,
        VGG16_Weights,
    )  # late, as in torchvision_ops.py

    weights = (
        VGG16_Weights.IMAGENET1K_FEATURES
        if backbone.name == "vgg16"
        else VGG16_BN_Weights.IMAGENET1K_V1
    )
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise CheckpointError(
            f"torchvision's {weights} could not be downloaded ({error}); connect to the internet, "
            f"or give a file of VGG16 convolution weights."
        ) from error
    if backbone.name == "vgg16_bn":
        features = nn.Sequential(*(m for layer in LAYERS for m in getattr(backbone, layer)))
        features.load_state_dict(
            {
                key.removeprefix("features."): value
                for key, value in state.items()
                if key.startswith("features.")
            }
        )
        return
    convolutions = [key for key in state if key.startswith("features.") and key.endswith(".weight")]
    tensors = {}
    for layer, key in zip(LAYERS, convolutions, strict=True):
        tensors[f"{layer}.weight"] = state[key]
        tensors[f"{layer}.bias"] = state[key.removesuffix("weight") + "bias"]
    rgb_mean = torch.tensor(_TORCHVISION_FEATURES_MEAN_RGB)
    offset = (torch.tensor(CAFFE_MEAN_BGR).flip(0) - rgb_mean).view(1, 3, 1, 1)
    weight = tensors["conv1_1.weight"]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + (weight * offset).sum((1, 2, 3))
    tensors["conv1_1.weight"] = weight.flip(1)
    _load_caffe(backbone, tensors)
