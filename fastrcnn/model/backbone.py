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

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.vgg import (
    CAFFE_MEAN_BGR,
    TORCHVISION_MEAN_RGB,
    TORCHVISION_STD_RGB,
    VGG16,
    Plan,
)

# What a recipe or a checkpoint may name; one of your own is one more line.
BACKBONES = {
    "vgg16": VGG16,
    "vgg16_bn": replace(VGG16, batch_norm=True),
    "small": Plan(
        ("conv1", "conv2", "conv3", "conv4"),
        (16, "M", 32, "M", 64, "M", 64),
        first_kept="conv3",
    ),
}


def layer_names(backbone: str) -> tuple[str, ...]:
    """The convolutions of one of BACKBONES, from the picture up."""
    return BACKBONES[backbone].layers


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
            return pixels.flip(1) - torch.tensor(CAFFE_MEAN_BGR).view(1, 3, 1, 1)
        mean = torch.tensor(TORCHVISION_MEAN_RGB).view(1, 3, 1, 1)
        return (pixels / 255 - mean) / torch.tensor(TORCHVISION_STD_RGB).view(1, 3, 1, 1)

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
        one size. Each then gives what it gives alone, with zeros around it: what lies outside is
        made 0 again after every layer, as a convolution sees it beyond a border.
        """
        first = 0 if start is None else self.layers.index(start) + 1
        last = len(self.layers) if stop is None else self.layers.index(stop) + 1
        layers, device = self.layers[first:last], x.device.type
        if not torch.is_autocast_enabled(device):
            return self._run(x, layers, sizes)
        run = self._reduced if device == "cpu" and not torch.is_grad_enabled() else self._run
        if start is None:
            # Nothing here holds on to the first map, the largest of all.
            x = self._exactly(x, layers[0])
            if sizes is not None:
                sizes = sizes // self.stride_after(layers[0])
                x = x * _inside(x, sizes)
            return run(x, layers[1:], sizes)
        return run(x, layers, sizes)

    def _run(self, x: Tensor, layers: Sequence[str], sizes: Tensor | None) -> Tensor:
        for layer in layers:
            convolution, *rest = getattr(self, layer)
            x = _convolve(convolution, x)
            for module in rest:
                x = module(x)
                if sizes is not None and isinstance(module, nn.MaxPool2d):
                    sizes = sizes // 2
            if sizes is not None:
                x = x * _inside(x, sizes)
        return x

    def _exactly(self, x: Tensor, first: str) -> Tensor:
        """The first layer in float32, whatever autocast says.

        It is a hundredth of the work, and rounding the pixels would move the scores more than all
        other rounding together: what is rounded is the same over every even surface.
        """
        with torch.autocast(x.device.type, enabled=False):
            return getattr(self, first)(x.to(memory_format=torch.channels_last))

    def _reduced(self, x: Tensor, layers: Sequence[str], sizes: Tensor | None) -> Tensor:
        """What autocast gives, a quarter faster: between layers it would go back to float32."""
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            x = x.to(dtype, memory_format=torch.channels_last)
            return self._run(x, layers, sizes).float().contiguous()

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


def _inside(x: Tensor, sizes: Tensor) -> Tensor:
    """(B, 1, H, W), true where x (B, C, H, W) lies within an image of these sizes, (B, 2)."""
    rows, columns = (torch.arange(side, device=x.device) for side in x.shape[2:])
    inside = (rows < sizes[:, :1])[:, :, None] & (columns < sizes[:, 1:])[:, None]
    return inside[:, None]


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
