import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import resnet18, resnet50, vgg16, vgg16_bn

from fastrcnn.errors import CheckpointError, RecipeError
from fastrcnn.model.backbone import build_backbone
from fastrcnn.model.weights import IMAGENET_WEIGHTS
from fastrcnn.training import PAPER, PAPER_S, build_model
from tests.model.tiny import noisy_ramp


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return noisy_ramp()


def test_torchvisions_weights_are_taken_over_exactly(monkeypatch, photo):
    source = vgg16_bn(weights=None)
    with torch.no_grad():
        for buffer_name, buffer in source.named_buffers():
            if "running_var" in buffer_name:
                buffer.uniform_(0.5, 2)
    monkeypatch.setattr(
        "torchvision.models._api.WeightsEnum.get_state_dict",
        lambda self, *args, **kwargs: source.state_dict(),
    )
    ours = build_backbone("vgg16_bn", "torchvision").eval()
    x = ours.preprocess(photo)
    torch.testing.assert_close(ours(x), source.eval().features[:-1](x))


def test_torchvisions_caffe_features_become_the_caffe_convention(monkeypatch, photo):
    source = vgg16(weights=None)
    monkeypatch.setattr(
        "torchvision.models._api.WeightsEnum.get_state_dict",
        lambda self, *args, **kwargs: source.state_dict(),
    )
    ours = build_backbone("vgg16", "torchvision").eval()
    mean = np.array([0.48235, 0.45882, 0.40784], np.float32) * 255
    x = torch.from_numpy((photo - mean).transpose(2, 0, 1)[None].astype(np.float32))
    theirs = source.features[:-1](x).detach()
    # The two means differ by up to 0.7 of 255, which shows at the zero-padded border alone.
    difference = (ours(ours.preprocess(photo)) - theirs).abs().max()
    assert difference < 0.02 * theirs.abs().max()


@pytest.mark.parametrize(("name", "network"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_torchvisions_resnets_are_taken_over_exactly(monkeypatch, tmp_path, photo, name, network):
    source = network(weights=None)
    with torch.no_grad():
        for key, tensor in source.state_dict().items():
            if tensor.ndim == 1 and "fc" not in key:
                tensor.uniform_(0.5, 1)
    monkeypatch.setattr(
        "torchvision.models._api.WeightsEnum.get_state_dict",
        lambda self, *args, **kwargs: source.state_dict() if name in str(self).lower() else {},
    )
    ours = build_backbone(name).train()
    net = source.eval()
    x = ours.preprocess(photo)
    expected = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for layer in (net.layer1, net.layer2, net.layer3):
        expected = layer(expected)
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-3)
    # The batch norms are frozen: none of their numbers is a parameter.
    assert all(parameter.ndim == 4 for parameter in ours.parameters())
    # A file of the same tensors does it too.
    save_file(source.state_dict(), tmp_path / "own")
    assert torch.equal(build_backbone(name, tmp_path / "own")(x), ours(x))
    other = {"resnet18": "resnet50", "resnet50": "resnet18"}[name]
    with pytest.raises(CheckpointError, match="does not hold this ResNet"):
        build_backbone(other, tmp_path / "own")


def test_no_internet_is_one_sentence(monkeypatch):
    def offline(self, *args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", offline)
    with pytest.raises(CheckpointError, match="connect to the internet"):
        build_backbone("vgg16_bn", "torchvision")
    with pytest.raises(CheckpointError, match="'random' to start without them"):
        build_backbone("resnet50")


def test_files_that_are_not_vgg16(tmp_path):
    (tmp_path / "text").write_text("not weights")
    with pytest.raises(CheckpointError, match="not a whole safetensors"):
        build_backbone("vgg16", tmp_path / "text")
    save_file({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part")
    with pytest.raises(CheckpointError, match="conv1_1 is missing"):
        build_backbone("vgg16", tmp_path / "part")
    tensors = load_file(IMAGENET_WEIGHTS) | {"conv3_1.bias": torch.zeros(7)}
    save_file(tensors, tmp_path / "shape")
    with pytest.raises(CheckpointError, match=r"conv3_1.bias has shape \(7,\)"):
        build_backbone("vgg16", tmp_path / "shape")
    with pytest.raises(RecipeError, match="vgg16, vgg16_bn, caffenet"):
        build_backbone("resnet5")


def test_the_small_backbone_takes_no_vgg16_weights():
    with pytest.raises(RecipeError, match="starts at random"):
        build_backbone("small", IMAGENET_WEIGHTS)


@pytest.mark.parametrize("name", ["caffenet", "vgg_cnn_m_1024"])
def test_s_and_m_without_a_file_say_what_would_work(name):
    with pytest.raises(CheckpointError, match="give a safetensors file of Caffe's tensors"):
        build_backbone(name)
    assert build_backbone(name, "random").channels in (256, 512)


def caffe_file(path, fc6=24, **more):
    """A file of CaffeNet with a narrow head, in Caffe's form."""
    torch.manual_seed(3)
    shapes = {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (fc6, 9216),
        "fc7": (16, fc6),
    }
    tensors = {}
    for layer, shape in shapes.items():
        tensors[f"{layer}.weight"] = torch.randn(shape) / np.prod(shape[1:]) ** 0.5
        tensors[f"{layer}.bias"] = torch.randn(shape[0])
    save_file(tensors | more, path)
    return tensors


def test_caffenet_starts_from_a_file_its_fc6_and_fc7_too(tmp_path):
    path = tmp_path / "caffenet"
    tensors = caffe_file(path)
    model = build_model(PAPER_S.but(fc6=24, fc7=16), ("cat",), path)
    for layer in model.backbone.layers:
        convolution = getattr(model.backbone, layer)[0]
        assert torch.equal(convolution.weight, tensors[f"{layer}.weight"])
        assert torch.equal(convolution.bias, tensors[f"{layer}.bias"])
    for layer in (model.head.fc6, model.head.fc7):
        assert any(torch.equal(layer.weight, tensor) for tensor in tensors.values())
    assert model.roi_pool.size == 6
    with pytest.raises(RecipeError, match="set divisor to 1"):
        build_model(PAPER_S.but(fc6=24, fc7=16, divisor=10.0), ("cat",), path)


def test_a_head_of_another_width_starts_at_random(tmp_path):
    tensors = caffe_file(tmp_path / "wide", fc6=32)
    model = build_model(PAPER_S.but(fc6=24, fc7=16, divisor=10.0), ("cat",), tmp_path / "wide")
    assert torch.equal(model.backbone.conv5[0].weight, tensors["conv5.weight"])
    assert model.head.fc6.weight.shape == (24, 9216)
    # So does that of VGG16's own file, which has no head.
    build_model(PAPER.but(fc6=4, fc7=4), ("cat",), IMAGENET_WEIGHTS)
