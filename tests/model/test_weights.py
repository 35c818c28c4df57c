import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import vgg16, vgg16_bn

from fastrcnn.errors import CheckpointError, RecipeError
from fastrcnn.model.backbone import build_backbone
from fastrcnn.model.weights import IMAGENET_WEIGHTS
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


def test_no_internet_is_one_sentence(monkeypatch):
    def offline(self, *args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", offline)
    with pytest.raises(CheckpointError, match="connect to the internet"):
        build_backbone("vgg16_bn", "torchvision")


def test_files_that_are_not_vgg16(tmp_path):
    (tmp_path / "text").write_text("not weights")
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        build_backbone("vgg16", tmp_path / "text")
    save_file({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part")
    with pytest.raises(CheckpointError, match="conv1_1 is missing"):
        build_backbone("vgg16", tmp_path / "part")
    tensors = load_file(IMAGENET_WEIGHTS) | {"conv3_1.bias": torch.zeros(7)}
    save_file(tensors, tmp_path / "shape")
    with pytest.raises(CheckpointError, match=r"conv3_1.bias has shape \(7,\)"):
        build_backbone("vgg16", tmp_path / "shape")
    with pytest.raises(RecipeError, match="vgg16, vgg16_bn, small"):
        build_backbone("resnet50")


def test_the_small_backbone_takes_no_vgg16_weights():
    with pytest.raises(RecipeError, match="starts at random"):
        build_backbone("small", IMAGENET_WEIGHTS)
