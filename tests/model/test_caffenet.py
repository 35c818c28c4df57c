"""S and M, layer by layer, against their published definitions and against slow references."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from fastrcnn.model import FastRCNN, ModelConfig
from fastrcnn.model.backbone import Backbone, build_backbone, empty_backbone
from tests.model.tiny import noisy_ramp

# Worked by hand from the definitions. For each layer: channels, rows, columns and weights.
# conv1 of S: (227 + 2 x 5 - 11) / 4 + 1 = 57, pooled to (57 + 2 - 3) / 2 + 1 = 29;
# of M: (224 - 7) / 2 + 1 = 109, pooled to (109 - 3) / 2 + 1 = 54.
LAYERS = {
    "caffenet": (
        (227, 300),
        {
            "conv1": (96, 29, 38, 96 * 3 * 11 * 11 + 96),
            "conv2": (256, 15, 20, 256 * 48 * 5 * 5 + 256),
            "conv3": (384, 15, 20, 384 * 256 * 3 * 3 + 384),
            "conv4": (384, 15, 20, 384 * 192 * 3 * 3 + 384),
            "conv5": (256, 15, 20, 256 * 192 * 3 * 3 + 256),
        },
    ),
    "vgg_cnn_m_1024": (
        (224, 300),
        {
            "conv1": (96, 54, 73, 96 * 3 * 7 * 7 + 96),
            "conv2": (256, 13, 18, 256 * 96 * 5 * 5 + 256),
            "conv3": (512, 13, 18, 512 * 256 * 3 * 3 + 512),
            "conv4": (512, 13, 18, 512 * 512 * 3 * 3 + 512),
            "conv5": (512, 13, 18, 512 * 512 * 3 * 3 + 512),
        },
    ),
}
HEADS = {"caffenet": (4096, 4096, 256), "vgg_cnn_m_1024": (4096, 1024, 512)}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_the_published_shape_and_number_of_weights(name):
    (height, width), layers = LAYERS[name]
    backbone = empty_backbone(name)
    with torch.no_grad():
        for layer, (channels, rows, columns, weights) in layers.items():
            maps = backbone(torch.zeros(1, 3, height, width), stop=layer)
            assert maps.shape[1:] == (channels, rows, columns), layer
            own = getattr(backbone, layer).parameters()
            assert sum(parameter.numel() for parameter in own) == weights, layer
    assert backbone.layers == tuple(layers) and backbone.stride == 16


@pytest.mark.parametrize("name", HEADS)
def test_the_head_sees_six_by_six_bins(name):
    fc6, fc7, channels = HEADS[name]
    with torch.device("meta"):
        model = FastRCNN(ModelConfig(classes=("cat",), backbone=name, fc6=fc6, fc7=fc7))
    assert (model.roi_pool.size, model.roi_pool.stride) == (6, 16)
    assert model.head.fc6.weight.shape == (fc6, channels * 6 * 6)
    assert model.head.fc7.weight.shape == (fc7, fc6)
    explicit = ModelConfig(classes=("cat",), backbone=name, fc6=8, fc7=8, pool_size=3)
    assert FastRCNN(explicit).roi_pool.size == 3


def normalised(x: np.ndarray, alpha: float, k: float) -> np.ndarray:
    """Krizhevsky et al. 2012, section 3.3, channel by channel."""
    result = np.empty_like(x)
    for i in range(len(x)):
        neighbours = x[max(i - 2, 0) : i + 3]
        result[i] = x[i] / (k + alpha / 5 * (neighbours**2).sum(axis=0)) ** 0.75
    return result


def pooled(x: np.ndarray, padding: int) -> np.ndarray:
    """Caffe's rule: windows of 3, two apart, as many as it takes to reach the end, rounded up; but
    a last one that would begin in the padding is left out."""
    counts = []
    for side in x.shape[1:]:
        count = math.ceil((side + 2 * padding - 3) / 2) + 1
        if padding and (count - 1) * 2 >= side + padding:
            count -= 1
        counts.append(count)
    result = np.empty((len(x), *counts), x.dtype)
    for row in range(counts[0]):
        for column in range(counts[1]):
            top, left = (2 * place - padding for place in (row, column))
            window = x[:, max(top, 0) : top + 3, max(left, 0) : left + 3]
            result[:, row, column] = window.max(axis=(1, 2))
    return result


def convolved(x: np.ndarray, layer: torch.nn.Conv2d, groups: int, **options: int) -> np.ndarray:
    """Group by group: each half of the outputs sees its half of the inputs alone."""
    parts = zip(
        torch.from_numpy(x)[None].chunk(groups, 1),
        layer.weight.chunk(groups),
        layer.bias.chunk(groups),
        strict=True,
    )
    maps = [conv2d(*part, **options) for part in parts]
    return torch.cat(maps, dim=1)[0].relu().detach().numpy()


def reference(name: str, backbone: Backbone, x: np.ndarray) -> np.ndarray:
    conv1, conv2, *rest = (getattr(backbone, layer)[0] for layer in backbone.layers)
    if name == "caffenet":
        x = normalised(pooled(convolved(x, conv1, 1, stride=4, padding=5), 1), 1e-4, 1)
        x = normalised(pooled(convolved(x, conv2, 2, padding=2), 1), 1e-4, 1)
        groups = (1, 2, 2)
    else:
        x = pooled(normalised(convolved(x, conv1, 1, stride=2), 5e-4, 2), 0)
        x = pooled(normalised(convolved(x, conv2, 1, stride=2, padding=1), 5e-4, 2), 0)
        groups = (1, 1, 1)
    for layer, count in zip(rest, groups, strict=True):
        x = convolved(x, layer, count, padding=1)
    return x


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [(64, 80), (47, 61), (32, 39)])
def test_the_map_is_that_of_a_slow_reference(name, size):
    torch.manual_seed(1)
    backbone = build_backbone(name, "random").eval()
    photo = noisy_ramp()[: size[0], : size[1]].repeat(1 + size[1] // 80, 1)[:, : size[1]]
    # By hand what Caffe fed the network: BGR, 0 to 255, minus the mean.
    mean = np.array([102.9801, 115.9465, 122.7717], np.float32)
    x = (photo[..., ::-1] - mean).transpose(2, 0, 1).astype(np.float32)
    ours = backbone(backbone.preprocess(photo)).detach()
    expected = Tensor(reference(name, backbone, np.ascontiguousarray(x)))
    torch.testing.assert_close(ours[0], expected, rtol=1e-4, atol=1e-4)
    assert ours.std() > 0.1
