"""The convolutions that a picture goes through once (section 2), and how each kind is built.

Shapes: B images of H x W pixels give a map (B, C, H', W'): C channels, and one cell per S pixels.
VGG16 has C = 512 and S = 16, and its H' is H / 16, rounded down.

Each kind of backbone has a function that builds it. The `Backbone` it returns holds all that the
other modules need: its layers, the pixels it expects, and the weights it starts with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fastrcnn.errors import RecipeError
from fastrcnn.model.caffenet import (
    POOL_SIZE,
    caffenet_layers,
    paper_pixels,
    vgg_cnn_m_1024_layers,
)
from fastrcnn.model.resnet import resnet_layers
from fastrcnn.model.vgg import CHANNELS, LAYERS, caffe_pixels, convolutions, torchvision_pixels
from fastrcnn.model.weights import (
    start_at_random,
    start_from_file,
    start_resnet,
    start_vgg16,
    start_vgg16_bn,
)


class Backbone(nn.Module):
    """Named layers. All of them can be run, or only those between two names.

    layers: from the picture up. VGG16's layers have the paper's names, such as ``conv3_1``. A layer
    includes what follows its convolution: batch norm, ReLU, and a max-pool if there is one. Batch
    norms always use their stored statistics, since a detector's batch of two pictures is too small
    to estimate them.
    strides: after each layer, how many input pixels lie between neighbouring cells.
    channels: of the last layer's map.
    first_kept: the lowest layer whose output is worth keeping on disk. Below it a map is many times
    the size of its picture (10 MB each after VGG16's conv2_2). Computing such a map again is
    cheaper than storing it.
    pixels: turns (B, 3, H, W) float32 RGB, 0 to 255, into what the first layer expects.
    pads: whether images of several sizes, padded with zeros to one, give the maps that each gives
    alone, if the padding is set to 0 again after every layer. So it is with 3 x 3 convolutions that
    see zeros beyond a border, and with pools that do not overlap. Other backbones compute such
    images one by one.
    pool_size: how many bins a side RoI pooling gives, unless the network's settings say otherwise.
    start: fills in the weights that training starts with, from a file or from the usual place
    (None). A backbone without it keeps the random weights it was built with.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        strides: Sequence[int],
        channels: int,
        first_kept: str,
        pixels: Callable[[Tensor], Tensor],
        pads: bool = False,
        pool_size: int = 7,
        start: Callable[[nn.Module, str | Path | None], None] | None = None,
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.stride = strides[-1]
        self.channels = channels
        self.first_kept = first_kept
        self.pads = pads
        self.pool_size = pool_size
        self.start = start
        self._pixels = pixels
        self._strides = dict(zip(layers, strides, strict=True))
        for name, layer in layers.items():
            self.add_module(name, layer)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB, already resized -> (1, 3, H, W) float32 as the weights expect.

        The result is on the backbone's device. The picture is copied there as bytes, which is a
        quarter of the size of the floats.
        """
        device = next(self.parameters()).device
        return self.normalise(torch.from_numpy(np.ascontiguousarray(image))[None].to(device))

    def normalise(self, images: Tensor) -> Tensor:
        """Like `preprocess`, for a tensor: (B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32."""
        return self._pixels(images.permute(0, 3, 1, 2).float())

    def forward(
        self,
        x: Tensor,
        start: str | None = None,
        stop: str | None = None,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """Run the layers after `start` up to and including `stop`; by default all of them.

        x: (B, 3, H, W) from `preprocess`; with `start`, the output of an earlier call that stopped
        at that layer. sizes: (B, 2), the height and width of each image within `x`, if they are
        padded with zeros to one size (`pads`). Returns float32, also if it was computed in another
        precision.
        """
        first = 0 if start is None else self.layers.index(start) + 1
        last = len(self.layers) if stop is None else self.layers.index(stop) + 1
        layers = self.layers[first:last]
        before = 1 if start is None else self._strides[start]
        if start is None and torch.is_autocast_enabled(x.device.type):
            # The first layer is a hundredth of the work. Rounding the pixels would change the
            # scores more than all other rounding together, because the rounding error is the same
            # all over an even surface.
            with torch.autocast(x.device.type, enabled=False):
                x = getattr(self, layers[0])(x.to(memory_format=torch.channels_last))
            x = _only_inside(x, sizes, self._strides[layers[0]])
            layers = layers[1:]
        for layer in layers:
            x = _only_inside(getattr(self, layer)(x), sizes, self._strides[layer] // before)
        return x.float().contiguous()

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def freeze(self, first_trainable: str | None) -> None:
        """Freeze the layers below `first_trainable`: none for None, all for a layer of the head."""
        cut = 0
        if first_trainable is not None:
            is_here = first_trainable in self.layers
            cut = self.layers.index(first_trainable) if is_here else len(self.layers)
        for index, layer in enumerate(self.layers):
            getattr(self, layer).requires_grad_(index >= cut)

    def stride_after(self, layer: str) -> int:
        """How many input pixels lie between neighbouring cells of the map after `layer`."""
        return self._strides[layer]

    def fingerprint(self, stop: str) -> str:
        """16 hex digits that identify everything up to the layer `stop`.

        Two backbones with the same fingerprint give the same map for a picture. The fingerprint
        covers the preprocessing of pixels, the layers and the weights, but not the backbone's name.
        """
        colours = torch.arange(256, dtype=torch.uint8).repeat(1, 1, 3, 1).permute(0, 1, 3, 2)
        layers = [getattr(self, name) for name in self.layers[: self.layers.index(stop) + 1]]
        digest = hashlib.sha256(repr(layers).encode())
        tensors = [tensor for layer in layers for tensor in layer.state_dict().values()]
        for tensor in (self.normalise(colours), *tensors):
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def last_frozen(self) -> str | None:
        """The last layer of the frozen lower part, whose output can be kept on disk."""
        frozen = None
        for layer in self.layers:
            if any(parameter.requires_grad for parameter in getattr(self, layer).parameters()):
                break
            frozen = layer
        return frozen


def _only_inside(x: Tensor, sizes: Tensor | None, stride: int) -> Tensor:
    """x (B, C, H, W) with zeros outside its images. sizes: (B, 2), each `stride` times as large."""
    if sizes is None:
        return x
    heights, widths = (sizes // stride)[:, :, None].unbind(1)  # (B, 1)
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    return x * ((rows < heights)[:, :, None] & (columns < widths)[:, None])[:, None]


def join_maps(maps: Sequence[Tensor]) -> Tensor:
    """Maps (b, C, h, w) of several sizes -> one (B, C, H', W'), with zeros at the right and below.

    Max pooling of a RoI ignores these zeros, since all activations are 0 or more. The pooling forms
    walkthrough and align also split or weigh by the number of cells, so they take in one of zeros.
    """
    if len(maps) == 1:
        return maps[0]
    height, width = (max(item.shape[side] for item in maps) for side in (2, 3))
    return torch.cat(
        [pad(item, (0, width - item.shape[3], 0, height - item.shape[2])) for item in maps]
    )


def vgg16() -> Backbone:
    """VGG16 for the original weights, which expect Caffe's pixels: BGR minus the mean."""
    layers, strides = convolutions(LAYERS, CHANNELS)
    return Backbone(
        layers,
        strides=strides,
        channels=512,
        first_kept="conv3_3",
        pixels=caffe_pixels,
        pads=True,
        start=start_vgg16,
    )


def vgg16_bn() -> Backbone:
    """torchvision's VGG16 with batch norms. The original weights can be converted to fit it."""
    layers, strides = convolutions(LAYERS, CHANNELS, batch_norm=True)
    return Backbone(
        layers,
        strides=strides,
        channels=512,
        first_kept="conv3_3",
        pixels=torchvision_pixels,
        pads=True,
        start=start_vgg16_bn,
    )


def small() -> Backbone:
    """Four convolutions with 60,000 weights, which start at random.

    It is fast enough to learn the shapes of `fastrcnn.data.shapes` during a lesson. It can learn
    little else.
    """
    names = ("conv1", "conv2", "conv3", "conv4")
    layers, strides = convolutions(names, (16, "M", 32, "M", 64, "M", 64))
    backbone = Backbone(
        layers,
        strides=strides,
        channels=64,
        first_kept="conv3",
        pixels=torchvision_pixels,
        pads=True,
    )
    start_at_random(backbone)
    return backbone


def caffenet() -> Backbone:
    """CaffeNet, the paper's S. Its weights come from a file that the user has."""
    layers, strides = caffenet_layers()
    return Backbone(
        layers,
        strides=strides,
        channels=256,
        first_kept="conv2",
        pixels=paper_pixels,
        pool_size=POOL_SIZE,
        start=start_from_file,
    )


def vgg_cnn_m_1024() -> Backbone:
    """VGG_CNN_M_1024, the paper's M. Its weights come from a file that the user has."""
    layers, strides = vgg_cnn_m_1024_layers()
    return Backbone(
        layers,
        strides=strides,
        channels=512,
        first_kept="conv2",
        pixels=paper_pixels,
        pool_size=POOL_SIZE,
        start=start_from_file,
    )


def resnet18() -> Backbone:
    """torchvision's ResNet-18 up to its third stage, with frozen batch norms."""
    return _resnet(18, channels=256)


def resnet50() -> Backbone:
    """torchvision's ResNet-50 up to its third stage, with frozen batch norms."""
    return _resnet(50, channels=1024)


def _resnet(depth: int, channels: int) -> Backbone:
    layers, strides = resnet_layers(depth)
    return Backbone(
        layers,
        strides=strides,
        channels=channels,
        first_kept="conv3",
        pixels=torchvision_pixels,
        start=partial(start_resnet, depth),
    )


# The names that a recipe or a checkpoint may use. To add your own backbone, add one line.
BACKBONES: dict[str, Callable[[], Backbone]] = {
    "vgg16": vgg16,
    "vgg16_bn": vgg16_bn,
    "caffenet": caffenet,
    "vgg_cnn_m_1024": vgg_cnn_m_1024,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "small": small,
}


def empty_backbone(name: str) -> Backbone:
    """One of BACKBONES, before its weights are loaded. Raises RecipeError for an unknown name."""
    if name not in BACKBONES:
        raise RecipeError(f"Unknown backbone {name!r}; there are {', '.join(BACKBONES)}.")
    return BACKBONES[name]()


def build_backbone(name: str = "vgg16", weights: str | Path | None = None) -> Backbone:
    """A backbone as training starts: with weights from ImageNet, or at random.

    weights: a safetensors file. For VGG16, CaffeNet and VGG_CNN_M_1024 it holds Caffe's tensors
    (``conv1_1.weight`` and so on, for BGR), for a ResNet torchvision's. "torchvision" downloads
    torchvision's own, which VGG16 and the ResNets have. "random" starts without learned weights.
    None takes the usual ones: VGG16's file that ships with the project, or the download. Raises
    CheckpointError if there are no such weights or they cannot be used. Raises RecipeError for an
    unknown name, and if weights are given for a backbone that always starts at random.
    """
    backbone = empty_backbone(name)
    if weights == "random":
        start_at_random(backbone)
    elif backbone.start is not None:
        backbone.start(backbone, weights)
    elif weights is not None:
        raise RecipeError(f"The {name} backbone starts at random; it takes no weights.")
    return backbone


def layer_names(name: str) -> tuple[str, ...]:
    """The layers of one of BACKBONES, from the picture up."""
    with torch.device("meta"):
        return empty_backbone(name).layers
