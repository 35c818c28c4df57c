"""The weights that training starts with: those learned on ImageNet, or random ones.

VGG16's convolutions come from the file that ships with the project, in Caffe's form, or from
torchvision. For CaffeNet and VGG_CNN_M_1024 the user brings such a file. A ResNet's weights are
torchvision's.

A file in Caffe's form holds ``conv1.weight``, ``conv1.bias`` and so on, each with Caffe's shape,
for pixels in BGR minus the mean. It may hold fc6 and fc7 too.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fastrcnn.errors import CheckpointError, RecipeError, reason
from fastrcnn.model.head import Head
from fastrcnn.model.resnet import in_our_layers
from fastrcnn.model.vgg import CAFFE_MEAN_BGR, LAYERS, TORCHVISION_MEAN_RGB, TORCHVISION_STD_RGB
from fastrcnn.runtime.shipped import shipped

IMAGENET_WEIGHTS = shipped("checkpoints") / "vgg16_imagenet_conv.safetensors"

# torchvision's copy of the Caffe weights was made for RGB minus this mean.
_TORCHVISION_FEATURES_MEAN_RGB = (255 * 0.48235, 255 * 0.45882, 255 * 0.40784)
_HIDDEN = ("fc6", "fc7")


def start_vgg16(backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill VGG16 for BGR minus the Caffe mean; see `build_backbone`."""
    weights = weights or _default()
    if weights == "torchvision":
        _fill(backbone, _caffe_from_torchvision())
    else:
        _fill(backbone, _read_caffe(Path(weights), backbone))


def start_vgg16_bn(backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill VGG16 with batch norms for torchvision's pixels; see `build_backbone`.

    To use the original weights, conv1_1 is rewritten and each batch norm becomes the identity.
    """
    weights = weights or _default()
    if weights == "torchvision":
        from torchvision.models import VGG16_BN_Weights  # late, as in torchvision_ops.py

        state = _features(_download(VGG16_BN_Weights.IMAGENET1K_V1))
        features = nn.Sequential(*(m for layer in LAYERS for m in getattr(backbone, layer)))
        features.load_state_dict(state)
    else:
        _fill(backbone, _for_torchvision_pixels(_read_caffe(Path(weights), backbone)))


def start_from_file(backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill CaffeNet or VGG_CNN_M_1024 from a file in Caffe's form; there is no other source."""
    if weights is None:
        raise CheckpointError(
            "The ImageNet weights of this backbone do not come with the project; give a "
            "safetensors file of Caffe's tensors, or 'random' to start without them."
        )
    _fill(backbone, _read_caffe(Path(weights), backbone))


def start_resnet(depth: int, backbone: nn.Module, weights: str | Path | None) -> None:
    """Fill the ResNet of this depth with torchvision's weights: downloaded, or from a safetensors
    file.
    """
    if weights is None or weights == "torchvision":
        from torchvision.models import get_weight  # late, as in torchvision_ops.py

        tensors = _download(get_weight(f"ResNet{depth}_Weights.IMAGENET1K_V1"))
    else:
        tensors = _read(Path(weights))
    try:
        backbone.load_state_dict(in_our_layers(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"{weights} does not hold this ResNet: {reason(error)}.") from error


def start_at_random(backbone: nn.Module) -> None:
    """Start layers before a ReLU as He et al. (2015) do, which keeps the size of activations."""
    for module in backbone.modules():
        # On the meta device torch draws normal numbers only with its compiler.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def start_head(head: Head, weights: str | Path | None) -> None:
    """Fill fc6 and fc7 if `weights` is a file in Caffe's form that holds layers of their shapes.

    If it does not, the head stays as it is. Raises RecipeError if the head divides the pooled
    features, since such layers expect them whole.
    """
    if weights is None or not Path(weights).is_file():
        return
    tensors = _read(Path(weights))
    wanted = {name: t for name, t in head.named_parameters() if name.split(".")[0] in _HIDDEN}
    if any(name not in tensors or tensors[name].shape != t.shape for name, t in wanted.items()):
        return
    if head.divisor != 1:
        raise RecipeError(
            f"{weights} holds fc6 and fc7, which expect pooled features that are not divided; "
            f"set divisor to 1."
        )
    for name, parameter in wanted.items():
        parameter.copy_(tensors[name])


def _default() -> str | Path:
    return IMAGENET_WEIGHTS if IMAGENET_WEIGHTS.exists() else "torchvision"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}.") from error


def _read_caffe(path: Path, backbone: nn.Module) -> dict[str, Tensor]:
    tensors = _read(path)
    for layer, _ in backbone.named_children():
        if not {f"{layer}.weight", f"{layer}.bias"} <= tensors.keys():
            raise CheckpointError(
                f"{path} does not hold this backbone's convolutions: {layer} is missing."
            )
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
    for layer, modules in backbone.named_children():
        assert isinstance(modules, nn.Sequential)
        for key, parameter in modules[0].named_parameters():
            tensor = tensors[f"{layer}.{key}"]
            if tensor.shape != parameter.shape:
                raise CheckpointError(
                    f"{layer}.{key} has shape {tuple(tensor.shape)}; it must have "
                    f"{tuple(parameter.shape)}."
                )
            parameter.copy_(tensor)
        for module in modules:
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(math.sqrt(1 + module.eps))


def _caffe_from_torchvision() -> dict[str, Tensor]:
    """torchvision's copy of the Caffe weights, converted back to BGR and the Caffe mean."""
    from torchvision.models import VGG16_Weights  # late, as in torchvision_ops.py

    state = _features(_download(VGG16_Weights.IMAGENET1K_FEATURES))
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
    """torchvision's tensors by their names."""
    try:
        return weights.get_state_dict(progress=True, check_hash=True)  # type: ignore[attr-defined]
    except OSError as error:
        raise CheckpointError(
            f"torchvision's {weights} could not be downloaded ({error}); connect to the internet, "
            f"give a file of weights, or 'random' to start without them."
        ) from error


def _features(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Only VGG's convolutions and batch norms, by their places: ``0.weight``, ..."""
    start = "features."
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
