"""Stacks of 3 x 3 convolutions like VGG16 (Simonyan and Zisserman 2014), and their input pixels.

Shapes: B images of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastrcnn.runtime.device import is_processor

# VGG16's layers and their channels. "M" is a max-pool, which halves the map. The original's last
# max-pool is left out: RoI pooling replaces it (paper, section 2.1).
LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2"),
    *("conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3"),
    *("conv5_1", "conv5_2", "conv5_3"),
)
CHANNELS = (
    *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
    *(512, 512, 512, "M", 512, 512, 512),
)

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
TORCHVISION_MEAN_RGB = (0.485, 0.456, 0.406)
TORCHVISION_STD_RGB = (0.229, 0.224, 0.225)


def caffe_pixels(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB, 0 to 255 -> BGR minus the mean, as the original weights expect."""
    return minus_mean(images.flip(1), CAFFE_MEAN_BGR)


def minus_mean(images: Tensor, mean: tuple[float, ...]) -> Tensor:
    """(B, 3, H, W) minus a number for each channel."""
    # A tensor of the three numbers would have to be copied to the images' device.
    channels = zip(images.unbind(1), mean, strict=True)
    return torch.stack([channel - number for channel, number in channels], dim=1)


def torchvision_pixels(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB, 0 to 255 -> RGB with zero mean and unit variance, as in torchvision."""
    channels = zip((images / 255).unbind(1), TORCHVISION_MEAN_RGB, TORCHVISION_STD_RGB, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)


def convolutions(
    names: Sequence[str], channels: Sequence[int | str], batch_norm: bool = False
) -> tuple[dict[str, nn.Module], list[int]]:
    """The layers by name, and for each how many input pixels lie between neighbouring cells.

    channels: the output channels of each convolution in turn; "M" adds a max-pool to the layer
    before it. batch_norm: add one after each convolution. A ReLU ends every convolution's layer.
    """
    layers: list[nn.Sequential] = []
    strides: list[int] = []
    inputs = 3
    for outputs in channels:
        if isinstance(outputs, str):
            layers[-1].append(nn.MaxPool2d(2))
            strides[-1] *= 2
            continue
        layer = nn.Sequential(Convolution(inputs, outputs, 3, padding=1))
        if batch_norm:
            layer.append(nn.BatchNorm2d(outputs))
        layers.append(layer.append(nn.ReLU(inplace=True)))
        strides.append(strides[-1] if strides else 1)
        inputs = outputs
    return dict(zip(names, layers, strict=True)), strides


class Convolution(nn.Conv2d):
    """A 3 x 3 convolution by the processor's fastest method; on other devices PyTorch's own."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        if torch.is_grad_enabled() or not is_processor(x.device):
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            return self._rounded(x, torch.get_autocast_dtype("cpu"))
        # On AVX2 processors NNPACK's Winograd kernels are faster for these layers than oneDNN's
        # direct ones. They are exact to about 1e-5 of the largest value. Below some 40 rows oneDNN
        # is faster.
        if not (x.is_contiguous() and x.shape[2] >= 40 and torch.backends.nnpack.is_available()):
            return super().forward(x)
        one_by_one = [
            torch._nnpack_spatial_convolution(image, self.weight, self.bias, padding=1)
            for image in x.split(1)
        ]
        return one_by_one[0] if len(one_by_one) == 1 else torch.cat(one_by_one)

    def _rounded(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The same as with autocast, but a quarter faster: channels are last from the start."""
        assert self.bias is not None
        with torch.autocast("cpu", enabled=False):
            x = x.to(dtype, memory_format=torch.channels_last)
            weight = self.weight.to(dtype, memory_format=torch.channels_last)
            return nn.functional.conv2d(x, weight, self.bias.to(dtype), padding=1)
