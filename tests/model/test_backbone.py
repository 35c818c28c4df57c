import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models.vgg import cfgs, make_layers

from fastrcnn.model import FastRCNN, ModelConfig
from fastrcnn.model.backbone import (
    BACKBONES,
    Backbone,
    build_backbone,
    empty_backbone,
    join_maps,
    layer_names,
)
from fastrcnn.model.vgg import LAYERS, caffe_pixels
from fastrcnn.model.weights import IMAGENET_WEIGHTS
from tests.model.tiny import noisy_ramp


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return noisy_ramp()


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("vgg16").eval()


def started(name: str) -> Backbone:
    """With the weights that come with the project, else at random."""
    torch.manual_seed(0)
    return build_backbone(name, None if name.startswith("vgg16") else "random").eval()


def test_equals_torchvisions_vgg16_without_its_last_pool(backbone, photo):
    reference = make_layers(cfgs["D"], batch_norm=False)[:-1]
    tensors = load_file(IMAGENET_WEIGHTS)
    convolutions = [m for m in reference if isinstance(m, torch.nn.Conv2d)]
    for layer, convolution in zip(LAYERS, convolutions, strict=True):
        convolution.load_state_dict(
            {key: tensors[f"{layer}.{key}"].float() for key in ("weight", "bias")}
        )
    # By hand what Caffe fed the network: BGR, 0 to 255, minus the mean.
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    x = torch.from_numpy((photo[..., ::-1] - mean).transpose(2, 0, 1)[None].astype(np.float32))
    with torch.enable_grad():
        ours, theirs = backbone(backbone.preprocess(photo)), reference(x)
    assert ours.shape == (1, 512, 4, 5)
    torch.testing.assert_close(ours, theirs)


def test_the_fast_kernels_give_the_same_map(backbone, photo):
    x = backbone.preprocess(photo).repeat(2, 1, 1, 1)
    x[1] = x[1].flip(-1)
    with torch.no_grad():
        fast = backbone(x)
    slow = backbone(x).detach()
    assert (fast - slow).abs().max() < 2e-5 * slow.abs().max()


def test_vgg16_bn_carries_the_same_function(backbone, photo):
    folded = build_backbone("vgg16_bn").eval()
    with torch.no_grad():
        ours = folded(folded.preprocess(photo))
        original = backbone(backbone.preprocess(photo))
    # Zero padding means the mean colour in both; the two means differ by 0.005 of 255.
    assert (ours - original).abs().max() < 1e-3 * original.abs().max()


def test_running_in_two_parts_equals_running_whole(backbone, photo):
    x = backbone.preprocess(photo)
    with torch.no_grad():
        whole = backbone(x)
        for layer in LAYERS:
            assert torch.equal(backbone(backbone(x, stop=layer), start=layer), whole)


@pytest.mark.parametrize(
    ("first_trainable", "last_frozen", "trainable"),
    [
        (None, None, 13),
        ("conv1_1", None, 13),
        ("conv3_1", "conv2_2", 9),
        ("conv5_1", "conv4_3", 3),
        ("fc6", "conv5_3", 0),
    ],
)
def test_freezing_by_layer_name(first_trainable, last_frozen, trainable):
    backbone = empty_backbone("vgg16_bn")
    backbone.freeze(first_trainable)
    assert backbone.last_frozen() == last_frozen
    learning = {name.split(".")[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert learning == set(LAYERS[13 - trainable :])


@pytest.fixture
def small() -> Backbone:
    torch.manual_seed(0)
    return build_backbone("small").eval()


def test_the_small_backbone_is_small_and_says_what_map_it_gives(small, photo):
    assert 10_000 < sum(parameter.numel() for parameter in small.parameters()) < 100_000
    pixels = small.preprocess(photo)
    assert pixels.shape == (1, 3, 64, 80) and pixels.abs().max() < 3
    maps = small(pixels)
    assert maps.shape == (1, small.channels, 64 // small.stride, 80 // small.stride)
    assert small.stride_after(small.layers[-1]) == small.stride
    assert small.first_kept in small.layers
    # Layers that start as He et al. have them pass on values of about the size that came in.
    assert 0.1 < maps.detach().std() < 10


def test_the_small_backbone_in_two_parts_equals_whole(small, photo):
    x = small.preprocess(photo)
    with torch.no_grad():
        whole = small(x)
        for layer in small.layers:
            assert torch.equal(small(small(x, stop=layer), start=layer), whole)


@pytest.mark.parametrize(
    ("first_trainable", "last_frozen", "trainable"),
    [(None, None, 4), ("conv1", None, 4), ("conv3", "conv2", 2), ("fc6", "conv4", 0)],
)
def test_freezing_the_small_backbone(small, photo, first_trainable, last_frozen, trainable):
    small.freeze(first_trainable)
    assert small.last_frozen() == last_frozen
    maps = small(small.preprocess(photo))
    assert maps.requires_grad == (trainable > 0)
    if trainable:
        maps.sum().backward()
    learning = [layer for layer in small.layers if getattr(small, layer)[0].weight.grad is not None]
    assert learning == list(small.layers[4 - trainable :])


def test_no_gradient_reaches_a_frozen_layer(photo):
    backbone = build_backbone("vgg16")
    backbone.freeze("conv5_1")
    backbone(backbone.preprocess(photo)).sum().backward()
    assert backbone.conv4_3[0].weight.grad is None
    assert backbone.conv5_1[0].weight.grad.abs().sum() > 0


def test_batch_norms_keep_their_statistics_in_training():
    backbone = empty_backbone("vgg16_bn").train()
    norm = backbone.conv1_1[1]
    before = norm.running_mean.clone()
    backbone(torch.randn(2, 3, 16, 16))
    assert backbone.training and not norm.training
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("name", BACKBONES)
def test_bfloat16_without_a_gradient_is_as_near_as_autocast_with_one(name, photo):
    backbone = started(name)
    pixels = backbone.preprocess(photo)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            quick = backbone(pixels)
        slow = backbone(pixels).float()
    with torch.no_grad():
        exact = backbone(pixels)
    assert quick.dtype == torch.float32 and quick.is_contiguous()
    for rounded in (quick, slow):
        assert 0 < (rounded - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("name", BACKBONES)
def test_bfloat16_sees_the_pixels_as_they_are(name):
    backbone = started(name)
    # On an even surface a rounded pixel is wrong everywhere alike, and nothing averages it out.
    pixels = backbone.preprocess(np.full((48, 48, 3), 203, np.uint8))
    first = backbone.layers[0]
    with torch.no_grad():
        exact = backbone(pixels, stop=first)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = backbone(pixels, stop=first)
    torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=1e-4)


def test_a_network_gives_the_same_map_under_any_name(photo, monkeypatch):
    maps, keys = [], []
    for name in ("vgg16", "another"):
        monkeypatch.setitem(BACKBONES, name, BACKBONES["vgg16"])
        backbone = build_backbone(name).eval()
        # As a checkpoint of that name is built and filled.
        config = ModelConfig(classes=("cat",), backbone=name, fc6=4, fc7=4)
        rebuilt = FastRCNN(config).backbone.eval()
        rebuilt.load_state_dict(backbone.state_dict())
        for one in (backbone, rebuilt):
            with torch.no_grad():
                maps.append(one(one.preprocess(photo)))
            keys.append(one.fingerprint("conv3_3"))
    assert all(torch.equal(one, maps[0]) for one in maps) and maps[0].mean() > 0.1
    assert len(set(keys)) == 1


def test_a_fingerprint_is_of_pixels_layers_and_weights_below():
    one, other = empty_backbone("small"), empty_backbone("small")
    other.load_state_dict(one.state_dict())
    assert one.fingerprint("conv3") == other.fingerprint("conv3") != one.fingerprint("conv2")
    with torch.no_grad():
        other.conv4[0].bias.add_(1)
        assert one.fingerprint("conv3") == other.fingerprint("conv3")
        other.conv1[0].bias.add_(1)
    assert one.fingerprint("conv3") != other.fingerprint("conv3")
    fed_otherwise = Backbone(
        {name: getattr(one, name) for name in one.layers},
        strides=(2, 4, 8, 8),
        channels=64,
        first_kept="conv3",
        pixels=caffe_pixels,
    )
    assert fed_otherwise.fingerprint("conv3") != one.fingerprint("conv3")


@pytest.mark.parametrize("name", BACKBONES)
def test_each_layer_says_its_stride(name):
    backbone = empty_backbone(name).eval()
    # The published S and M round up and pad, which may add a cell or take one.
    exact = name not in ("caffenet", "vgg_cnn_m_1024")
    for layer in backbone.layers:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, 3, 128, 96), stop=layer)
        stride = backbone.stride_after(layer)
        for side, pixels in zip(maps.shape[2:], (128, 96), strict=True):
            assert abs(side - pixels / stride) <= (0 if exact else 2)
    assert maps.shape[1] == backbone.channels and stride == backbone.stride
    assert layer_names(name) == backbone.layers and backbone.first_kept in backbone.layers
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 32, 32)).numel()  # the smallest input has a cell


def test_maps_of_several_sizes_are_joined_with_zeros_around():
    maps = [torch.rand(1, 2, 3, 5), torch.rand(2, 2, 4, 2)]
    joined = join_maps(maps)
    assert joined.shape == (3, 2, 4, 5)
    assert torch.equal(joined[:1, :, :3], maps[0]) and not joined[0, :, 3].any()
    assert torch.equal(joined[1:, :, :, :2], maps[1]) and not joined[1:, :, :, 2:].any()
