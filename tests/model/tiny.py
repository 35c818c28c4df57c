"""A network of a few thousand weights, for tests that need one but not VGG16's; and a picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fastrcnn.model import Backbone, FastRCNN, ModelConfig
from fastrcnn.model.vgg import torchvision_pixels


def tiny_backbone() -> Backbone:
    """Two strided convolutions, one cell of 8 channels per 16 pixels."""
    layers = {
        "conv1": nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU()),
        "conv2": nn.Sequential(nn.Conv2d(4, 8, 4, stride=4), nn.ReLU()),
    }
    return Backbone(
        layers, strides=(4, 16), channels=8, first_kept="conv1", pixels=torchvision_pixels
    )


def tiny_config(**settings) -> ModelConfig:
    """Three classes, 24 and 16 units."""
    return ModelConfig(**{"classes": ("cat", "dog", "cow"), "fc6": 24, "fc7": 16} | settings)


def tiny_model(**settings) -> FastRCNN:
    """The same weights at every call."""
    torch.manual_seed(0)
    return FastRCNN(tiny_config(**settings), tiny_backbone())


def noisy_ramp() -> np.ndarray:
    """(64, 80, 3) uint8, the same at every call."""
    ramp = np.linspace(0, 255, 64 * 80 * 3).reshape(64, 80, 3)
    noise = np.random.default_rng(0).normal(0, 40, ramp.shape)
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)
