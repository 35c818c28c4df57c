"""The convolutions that a picture goes through once: VGG16 without its last max-pool, or a few.

Shapes: B images, H x W pixels of network input, C channels and one cell per S pixels in the map
that comes out, (B, C, H/S, W/S), rounded down. VGG16 has 512 and 16: four of its five pools remain
(paper, section 2.1: the fifth is replaced by RoI pooling).

VGG16's weights are by default those of the original (Simonyan and Zisserman 2014), which want what
Caffe fed them: BGR, 0 to 255, minus the mean. ``vgg16_bn``, torchvision's, wants RGB scaled to unit
variance; the original weights are carried over into it by rewriting conv1_1 and making each batch
norm the identity.

``small`` is of the same kind, with four convolutions and 60,000 weights that start at random: it
learns the shapes of `fastrcnn.data.shapes` while a class looks on, and little else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fastrcnn.errors import CheckpointError, RecipeError

LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2"),
    *("conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3"),
    *("conv5_1", "conv5_2", "conv5_3"),
)


@dataclass(frozen=True)
class Plan:
    """What a backbone is made of: convolutions of 3 x 3, each with a ReLU, and max-pools.

    layers: the convolutions' names, from the picture up. channels: of one convolution after
    another, "M" for a max-pool that halves the map. first_kept: see `Backbone`. batch_norm: one
    after each convolution. vgg16: whether it is to start with VGG16's weights; else it starts at
    random.
    """

    layers: tuple[str, ...]
    channels: tuple[int | str, ...]
    first_kept: str
    batch_norm: bool = False
    vgg16: bool = False


_VGG16 = Plan(
    LAYERS,
    (
        *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
        *(512, 512, 512, "M", 512, 512, 512),
    ),
    first_kept="conv3_3",
    vgg16=True,
)
# What a recipe or a checkpoint may name; one of your own is one more line.
BACKBONES = {
    "vgg16": _VGG16,
    "vgg16_bn": replace(_VGG16, batch_norm=True),
    "small": Plan(
        ("conv1", "conv2", "conv3", "conv4"),
        (16, "M", 32, "M", 64, "M", 64),
        first_kept="conv3",
    ),
}
IMAGENET_WEIGHTS = Path(__file__).parents[2] / "checkpoints" / "vgg16_imagenet_conv.safetensors"

_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_TORCHVISION_MEAN_RGB = (0.485, 0.456, 0.406)
_TORCHVISION_STD_RGB = (0.229, 0.224, 0.225)
# torchvision's copy of the Caffe weights was made for RGB minus this mean.
_TORCHVISION_FEATURES_MEAN_RGB = (255 * 0.48235, 255 * 0.45882, 255 * 0.40784)


def layer_names(backbone: str) -> tuple[str, ...]:
    """The convolutions of one of BACKBONES, from the picture up."""
    return BACKBONES[backbone].layers


@dataclass(frozen=True)
class Geometry:
    """How a picture is resized for the network.

    The paper's way: the shorter side becomes `shorter` pixels unless the longer one would pass
    `longer`. With `square`, both sides become that many pixels and the aspect ratio is lost, as in
    the walk-through (224).
    """

    shorter: int = 600
    longer: int = 1000
    square: int | None = None

    def __post_init__(self) -> None:
        for name in ("shorter", "longer", "square"):
            value = getattr(self, name)
            if name == "square" and value is None:
                continue
            if type(value) is not int or not 16 <= value <= 4096:
                raise RecipeError(f"{name} is {value!r}; it must be a whole number, 16 to 4096.")
        if self.longer < self.shorter:
            raise RecipeError(f"longer ({self.longer}) must be at least shorter ({self.shorter}).")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network input for a picture of `height` x `width`.

        At least 16 pixels each way, so that the feature map has a cell.
        """
        if self.square is not None:
            return self.square, self.square
        scale = min(self.shorter / min(height, width), self.longer / max(height, width))
        return max(round(height * scale), 16), max(round(width * scale), 16)

    def resize(self, image: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """(H, W, 3) uint8 -> the resized picture and (sx, sy), input pixels per picture pixel."""
        height, width = image.shape[:2]
        new_height, new_width = self.size(height, width)
        # Averaging the pixels that fall together keeps a shrunk photograph free of aliasing.
        shrinks = new_height < height and new_width < width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(image, (new_width, new_height), interpolation=method)
        return resized, (new_width / width, new_height / height)


class Backbone(nn.Module):
    """Convolutions of 3 x 3, to be run whole or from one layer to another.

    name: one of BACKBONES. The weights are random; `build_backbone` fills in VGG16's.

    A layer goes by its name (VGG16's are the paper's, such as ``conv3_1``) and includes what
    follows it: batch norm, ReLU, and a max-pool where there is one. Batch norms always use their
    stored statistics, since a detector's batch of two pictures is too small to estimate them from.

    layers: their names, from the picture up. channels, stride: of the map that comes out.
    first_kept: the lowest layer whose output is worth keeping on disk. Below it a map is many times
    the size of its picture (10 MB each after VGG16's conv2_2), and computing it again costs less
    than the disk would hold.

    Raises RecipeError for another name.
    """

    def __init__(self, name: str = "vgg16") -> None:
        super().__init__()
        if not isinstance(name, str) or name not in BACKBONES:
            raise RecipeError(f"Unknown backbone {name!r}; there are {', '.join(BACKBONES)}.")
        plan = BACKBONES[name]
        self.name = name
        self.layers = plan.layers
        self.first_kept = plan.first_kept
        self.stride = 2 ** plan.channels.count("M")
        inputs = 3
        for layer, (channels, pools) in zip(self.layers, _convolutions(plan), strict=True):
            modules: list[nn.Module] = [nn.Conv2d(inputs, channels, 3, padding=1)]
            if plan.batch_norm:
                modules.append(nn.BatchNorm2d(channels))
            modules.append(nn.ReLU(inplace=True))
            if pools:
                modules.append(nn.MaxPool2d(2))
            self.add_module(layer, nn.Sequential(*modules))
            inputs = channels
        self.channels = inputs

    def preprocess(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB, already resized -> (1, 3, H, W) float32 as the weights expect."""
        return self.normalise(torch.from_numpy(np.ascontiguousarray(image)))

    def normalise(self, image: Tensor) -> Tensor:
        """What `preprocess` does, from a tensor: (H, W, 3) uint8 RGB -> (1, 3, H, W) float32."""
        pixels = image.permute(2, 0, 1)[None].float()
        if self.name == "vgg16":
            return pixels.flip(1) - torch.tensor(_CAFFE_MEAN_BGR).view(1, 3, 1, 1)
        mean = torch.tensor(_TORCHVISION_MEAN_RGB).view(1, 3, 1, 1)
        return (pixels / 255 - mean) / torch.tensor(_TORCHVISION_STD_RGB).view(1, 3, 1, 1)

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Tensor:
        """Run the layers after `start` up to and including `stop`; by default all of them.

        x: (B, 3, H, W) from `preprocess`, or what `stop=start` gave in an earlier call.
        """
        first = 0 if start is None else self.layers.index(start) + 1
        last = len(self.layers) if stop is None else self.layers.index(stop) + 1
        layers, device = self.layers[first:last], x.device.type
        if not torch.is_autocast_enabled(device):
            return self._run(x, layers)
        run = self._reduced if device == "cpu" and not torch.is_grad_enabled() else self._run
        if start is None:
            # Nothing here holds on to the first map, the largest of all.
            return run(self._exactly(x, layers[0]), layers[1:])
        return run(x, layers)

    def _run(self, x: Tensor, layers: Sequence[str]) -> Tensor:
        for layer in layers:
            convolution, *rest = getattr(self, layer)
            x = _convolve(convolution, x)
            for module in rest:
                x = module(x)
        return x

    def _exactly(self, x: Tensor, first: str) -> Tensor:
        """The first layer in float32, whatever autocast says.

        It is a hundredth of the work, and rounding the pixels would move the scores more than all
        other rounding together: what is rounded is the same over every even surface.
        """
        with torch.autocast(x.device.type, enabled=False):
            return getattr(self, first)(x.to(memory_format=torch.channels_last))

    def _reduced(self, x: Tensor, layers: Sequence[str]) -> Tensor:
        """What autocast gives, a quarter faster: between layers it would go back to float32."""
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            x = x.to(dtype, memory_format=torch.channels_last)
            return self._run(x, layers).float().contiguous()

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def freeze(self, first_trainable: str | None) -> None:
        """No gradient below `first_trainable`; None trains all, a layer of the head none."""
        names = list(self.layers)
        cut = 0
        if first_trainable is not None:
            cut = names.index(first_trainable) if first_trainable in names else len(names)
        for index, layer in enumerate(names):
            getattr(self, layer).requires_grad_(index >= cut)

    def stride_after(self, layer: str) -> int:
        """How many input pixels lie between neighbouring cells of what `layer` gives."""
        run = self.layers[: self.layers.index(layer) + 1]
        modules = (module for name in run for module in getattr(self, name))
        return 2 ** sum(isinstance(module, nn.MaxPool2d) for module in modules)

    def last_frozen(self) -> str | None:
        """The last layer of the frozen lower part, whose output can be kept on disk."""
        frozen = None
        for layer in self.layers:
            if any(parameter.requires_grad for parameter in getattr(self, layer).parameters()):
                break
            frozen = layer
        return frozen


def _convolutions(plan: Plan) -> list[tuple[int, bool]]:
    """The channels of each convolution, and whether a max-pool follows it."""
    following = (*plan.channels[1:], None)
    return [
        (channels, after == "M")
        for channels, after in zip(plan.channels, following, strict=True)
        if isinstance(channels, int)
    ]


def _convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """The 3x3 convolution, on the fastest path that this processor has.

    NNPACK's Winograd kernels do these layers faster than oneDNN's direct ones on AVX2 processors,
    to about 1e-5 of the largest value; below some 40 rows oneDNN is ahead.
    """
    weight, bias = convolution.weight, convolution.bias
    assert bias is not None
    if (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[2] >= 40
        and torch.backends.nnpack.is_available()
    ):
        one_by_one = [
            torch._nnpack_spatial_convolution(image, weight, bias, padding=1)
            for image in x.contiguous().split(1)
        ]
        return one_by_one[0] if len(one_by_one) == 1 else torch.cat(one_by_one)
    if x.dtype != weight.dtype:
        weight = weight.to(x.dtype, memory_format=torch.channels_last)
        return nn.functional.conv2d(x, weight, bias.to(x.dtype), padding=1)
    return convolution(x)


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
        std = torch.tensor(_TORCHVISION_STD_RGB, dtype=torch.float64)
        mean = torch.tensor(_TORCHVISION_MEAN_RGB, dtype=torch.float64)
        caffe_mean = torch.tensor(_CAFFE_MEAN_BGR, dtype=torch.float64).flip(0)
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
    )  # as late as torchvision_ops.py does

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
    offset = (torch.tensor(_CAFFE_MEAN_BGR).flip(0) - rgb_mean).view(1, 3, 1, 1)
    weight = tensors["conv1_1.weight"]
    tensors["conv1_1.bias"] = tensors["conv1_1.bias"] + (weight * offset).sum((1, 2, 3))
    tensors["conv1_1.weight"] = weight.flip(1)
    _load_caffe(backbone, tensors)
