"""A network of a few thousand weights, for tests that need one but not VGG16's; and a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fastrcnn.model import FastRCNN, ModelConfig


class TinyBackbone(nn.Module):
    """Two strided convolutions with the interface of Backbone."""

    name = "vgg16"
    layers = ("conv1", "conv2")
    channels = 8
    stride = 16

    def __init__(self, name: str = "vgg16") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 4, stride=4)
        self.conv2 = nn.Conv2d(4, 8, 4, stride=4)

    def forward(self, x: Tensor, start: str | None = None, stop: str | None = None) -> Tensor:
        if start is None:
            x = self.conv1(x).relu()
        if stop == "conv1":
            return x
        return self.conv2(x).relu()

    def freeze(self, first_trainable: str | None) -> None:
        self.conv1.requires_grad_(first_trainable in (None, "conv1"))
        self.conv2.requires_grad_(first_trainable in (None, *self.layers))


def tiny_config(**settings) -> ModelConfig:
    """Three classes, 24 and 16 units."""
    return ModelConfig(**{"classes": ("cat", "dog", "cow"), "fc6": 24, "fc7": 16} | settings)


def tiny_model(**settings) -> FastRCNN:
    """The same weights at every call."""
    torch.manual_seed(0)
    return FastRCNN(tiny_config(**settings), TinyBackbone())


def noisy_ramp() -> np.ndarray:
    """(64, 80, 3) uint8, the same at every call."""
    ramp = np.linspace(0, 255, 64 * 80 * 3).reshape(64, 80, 3)
    noise = np.random.default_rng(0).normal(0, 40, ramp.shape)
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)
