"""torchvision's ResNet-18 and ResNet-50 (He et al. 2016) up to their third stage.

The batch norms are frozen, their factors too, as in torchvision's detectors.
"""

from __future__ import annotations

from torch import Tensor, nn

# torchvision's modules, by their place in our layers.
_PLACES = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "layer1": "conv2",
    "layer2": "conv3",
    "layer3": "conv4",
}


def resnet_layers(depth: int) -> tuple[dict[str, nn.Module], tuple[int, ...]]:
    """The layers of the ResNet of this depth, 18 or 50, with torchvision's random weights.

    Returns them by name, and after each the number of input pixels between neighbouring cells.
    """
    from torchvision.models import resnet18, resnet50  # late, as in torchvision_ops.py
    from torchvision.ops import FrozenBatchNorm2d

    net = {18: resnet18, 50: resnet50}[depth](weights=None, norm_layer=FrozenBatchNorm2d)
    layers: dict[str, nn.Module] = {
        "conv1": nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool),
        "conv2": net.layer1,
        "conv3": net.layer2,
        "conv4": net.layer3,
    }
    return layers, (4, 4, 8, 16)


def in_our_layers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's tensors of a ResNet, by their names in `resnet_layers`; others are left out."""
    return {
        f"{_PLACES[module]}.{rest}": tensor
        for module, _, rest, tensor in ((*key.partition("."), t) for key, t in tensors.items())
        if module in _PLACES
    }
