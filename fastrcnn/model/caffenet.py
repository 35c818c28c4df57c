"""The paper's two smaller networks, layer by layer: CaffeNet (S) and VGG_CNN_M_1024 (M).

The numbers are those of the definitions that were published with the paper. conv5's max-pool is
left out: RoI pooling replaces it, with 6 x 6 bins (section 2.1).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from fastrcnn.model.vgg import minus_mean

PAPER_MEAN_BGR = (102.9801, 115.9465, 122.7717)
POOL_SIZE = 6


def paper_pixels(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB, 0 to 255 -> BGR minus the mean that the paper's code subtracts."""
    return minus_mean(images.flip(1), PAPER_MEAN_BGR)


def caffenet_layers() -> tuple[dict[str, nn.Module], tuple[int, ...]]:
    """CaffeNet is AlexNet (Krizhevsky et al. 2012) with each max-pool before its normalisation.

    conv2, conv4 and conv5 have two groups: half of the outputs see half of the inputs. Returns the
    layers by name, and after each the number of input pixels between neighbouring cells.
    """
    layers: dict[str, nn.Module] = {
        "conv1": nn.Sequential(
            *_convolution(3, 96, 11, stride=4, padding=5), _pool(padding=1), _normalise(1e-4, 1.0)
        ),
        "conv2": nn.Sequential(
            *_convolution(96, 256, 5, padding=2, groups=2), _pool(padding=1), _normalise(1e-4, 1.0)
        ),
        "conv3": nn.Sequential(*_convolution(256, 384, 3, padding=1)),
        "conv4": nn.Sequential(*_convolution(384, 384, 3, padding=1, groups=2)),
        "conv5": nn.Sequential(*_convolution(384, 256, 3, padding=1, groups=2)),
    }
    return layers, (8, 16, 16, 16, 16)


def vgg_cnn_m_1024_layers() -> tuple[dict[str, nn.Module], tuple[int, ...]]:
    """VGG_CNN_M (Chatfield et al. 2014), made for an fc7 of 1,024 units; see `caffenet_layers`."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Sequential(
            *_convolution(3, 96, 7, stride=2), _normalise(5e-4, 2.0), _pool(padding=0)
        ),
        "conv2": nn.Sequential(
            *_convolution(96, 256, 5, stride=2, padding=1), _normalise(5e-4, 2.0), _pool(padding=0)
        ),
        "conv3": nn.Sequential(*_convolution(256, 512, 3, padding=1)),
        "conv4": nn.Sequential(*_convolution(512, 512, 3, padding=1)),
        "conv5": nn.Sequential(*_convolution(512, 512, 3, padding=1)),
    }
    return layers, (4, 16, 16, 16, 16)


def _convolution(inputs: int, outputs: int, size: int, **options: Any) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, size, **options), nn.ReLU(inplace=True)


def _pool(padding: int) -> nn.Module:
    """Overlapping windows of 3 x 3, two cells apart. Caffe rounds the map's size up."""
    return nn.MaxPool2d(3, stride=2, padding=padding, ceil_mode=True)


def _normalise(alpha: float, k: float) -> nn.Module:
    """Local response normalisation across 5 neighbouring channels."""
    return nn.LocalResponseNorm(5, alpha=alpha, beta=0.75, k=k)
