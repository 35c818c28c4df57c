"""The convolutions that a picture goes through once (section 2), and how each kind is built.

Shapes: B images of H x W pixels, C channels and one cell per S pixels in the map that comes out,
(B, C, H/S, W/S), rounded down. VGG16 has C = 512 and S = 16.

A backbone is a function that builds it. What it gives carries all that the rest needs to know: its
layers, what pixels it expects, and what weights it starts with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.vgg import CHANNELS, LAYERS, caffe_pixels, convolutions, torchvision_pixels
from fastrcnn.model.weights import start_at_random, start_vgg16, start_vgg16_bn


class Backbone(nn.Module):
    """Named layers, to be run whole or from one to another.

    layers: from the picture up. A layer goes by its name (VGG16's are the paper's, such as
    ``conv3_1``) and includes what follows its convolution: batch norm, ReLU, and a max-pool where
    there is one. Batch norms always use their stored statistics, since a detector's batch of two
    pictures is too small to estimate them from.
    strides: after each layer, how many input pixels lie between neighbouring cells.
    channels: of the map that comes out.
    first_kept: the lowest layer whose output is worth keeping on disk. Below it a map is many times
    the size of its picture (10 MB each after VGG16's conv2_2), and computing it again costs less
    than the disk would hold.
    pixels: takes (B, 3, H, W) float32 RGB, 0 to 255, to what the first layer expects.
    start: fills in the weights that training starts with, from a file or from the usual place
    (None). A backbone without it starts with the random ones at hand.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        strides: Sequence[int],
        channels: int,
        first_kept: str,
        pixels: Callable[[Tensor], Tensor],
        start: Callable[[nn.Module, str | Path | None], None] | None = None,
    ) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.stride = strides[-1]
        self.channels = channels
        self.first_kept = first_kept
        self.start = start
        self._pixels = pixels
        self._strides = dict(zip(layers, strides, strict=True))
        for name, layer in layers.items():
            self.add_module(name, layer)

    def preprocess(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB, already resized -> (1, 3, H, W) float32 as the weights expect.

        It is on the backbone's device, to which the bytes go, a quarter of the floats.
        """
        device = next(self.parameters()).device
        return self.normalise(torch.from_numpy(np.ascontiguousarray(image))[None].to(device))

    def normalise(self, images: Tensor) -> Tensor:
        """What `preprocess` does, from a tensor: (B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32."""
        return self._pixels(images.permute(0, 3, 1, 2).float())

    def forward(
        self,
        x: Tensor,
        start: str | None = None,
        stop: str | None = None,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """Run the layers after `start` up to and including `stop`; by default all of them.

        x: (B, 3, H, W) from `preprocess`, or what `stop=start` gave in an earlier call. sizes:
        (B, 2), the height and width of each image within `x`, where they are padded with zeros to
        one size. What lies outside is made 0 again after every layer, as a convolution sees it
        beyond a border, so that each image gives what it gives alone. Gives float32, in whatever
        precision it was computed.
        """
        first = 0 if start is None else self.layers.index(start) + 1
        last = len(self.layers) if stop is None else self.layers.index(stop) + 1
        layers = self.layers[first:last]
        before = 1 if start is None else self._strides[start]
        if start is None and torch.is_autocast_enabled(x.device.type):
            # The first layer is a hundredth of the work, and rounding the pixels would move the
            # scores more than all other rounding together: what is rounded is the same over every
            # even surface.
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
        """No gradient below `first_trainable`; None trains all, a layer of the head none."""
        cut = 0
        if first_trainable is not None:
            is_here = first_trainable in self.layers
            cut = self.layers.index(first_trainable) if is_here else len(self.layers)
        for index, layer in enumerate(self.layers):
            getattr(self, layer).requires_grad_(index >= cut)

    def stride_after(self, layer: str) -> int:
        """How many input pixels lie between neighbouring cells of what `layer` gives."""
        return self._strides[layer]

    def fingerprint(self, stop: str) -> str:
        """What decides which map `stop` gives for a picture, as 16 letters: all up to that layer.

        Pixels, layers and weights count; what the backbone is called does not.
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
    """x (B, C, H, W) with zeros outside of its images; of `sizes` (B, 2) before `stride`."""
    if sizes is None:
        return x
    heights, widths = (sizes // stride)[:, :, None].unbind(1)  # (B, 1)
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    return x * ((rows < heights)[:, :, None] & (columns < widths)[:, None])[:, None]


def vgg16() -> Backbone:
    """VGG16 for the original's weights, which expect what Caffe fed them."""
    layers, strides = convolutions(LAYERS, CHANNELS)
    return Backbone(
        layers,
        strides=strides,
        channels=512,
        first_kept="conv3_3",
        pixels=caffe_pixels,
        start=start_vgg16,
    )


def vgg16_bn() -> Backbone:
    """torchvision's VGG16 with batch norms; the original's weights are carried over into it."""
    layers, strides = convolutions(LAYERS, CHANNELS, batch_norm=True)
    return Backbone(
        layers,
        strides=strides,
        channels=512,
        first_kept="conv3_3",
        pixels=torchvision_pixels,
        start=start_vgg16_bn,
    )


def small() -> Backbone:
    """Four convolutions with 60,000 weights, which start at random.

    It learns the shapes of `fastrcnn.data.shapes` while a class looks on, and little else.
    """
    names = ("conv1", "conv2", "conv3", "conv4")
    layers, strides = convolutions(names, (16, "M", 32, "M", 64, "M", 64))
    start_at_random(layers)
    return Backbone(
        layers, strides=strides, channels=64, first_kept="conv3", pixels=torchvision_pixels
    )


# What a recipe or a checkpoint may name; one of your own is one more line.
BACKBONES: dict[str, Callable[[], Backbone]] = {
    "vgg16": vgg16,
    "vgg16_bn": vgg16_bn,
    "small": small,
}


def empty_backbone(name: str) -> Backbone:
    """One of BACKBONES, its weights still to come. Raises RecipeError for another name."""
    if name not in BACKBONES:
        raise RecipeError(f"Unknown backbone {name!r}; there are {', '.join(BACKBONES)}.")
    return BACKBONES[name]()


def build_backbone(name: str = "vgg16", weights: str | Path | None = None) -> Backbone:
    """A backbone as training starts: VGG16 with ImageNet weights, another with its own.

    weights: for VGG16 a safetensors file of the original convolutions (BGR, its keys
    ``conv1_1.weight`` and so on), "torchvision" to download torchvision's own, or None: the file
    that ships with the project, or the download where there is no such file. Raises
    CheckpointError, and RecipeError for an unknown name and for weights that are to go into a
    backbone that starts at random.
    """
    backbone = empty_backbone(name)
    if backbone.start is not None:
        backbone.start(backbone, weights)
    elif weights is not None:
        raise RecipeError(f"The {name} backbone starts at random; it takes no weights.")
    return backbone


def layer_names(name: str) -> tuple[str, ...]:
    """The layers of one of BACKBONES, from the picture up."""
    with torch.device("meta"):
        return empty_backbone(name).layers
