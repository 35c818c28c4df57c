from dataclasses import replace

import numpy as np
import pytest
import torch

from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.model.backbone import Backbone, empty_backbone
from fastrcnn.model.resize import Resize
from fastrcnn.training.augment import Augmentation
from fastrcnn.training.feature_cache import FeatureCache
from tests.proposals.test_cache import annotation, files

SMALL = Resize(shorter=32, longer=64)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    backbone = empty_backbone("vgg16")
    backbone.freeze("conv4_1")
    return backbone


def test_features_are_the_frozen_layers_output(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    cache = FeatureCache(backbone, SMALL, tmp_path / "cache", precision="float32")
    assert cache.stop == "conv3_3"
    for flip in (False, True):
        image = load_image(one.path)[:, ::-1] if flip else load_image(one.path)
        with torch.no_grad():
            expected = backbone(backbone.preprocess(SMALL.resize(image)[0]), stop="conv3_3")
        for _ in ("made", "read"):
            maps, scale = cache.get(one, flip)
            torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-3)
            assert scale == (48 / 60, 32 / 40)


def test_bfloat16_features_are_near_and_are_other_files(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    exact, _ = FeatureCache(backbone, SMALL, tmp_path, precision="float32").get(one)
    rounded, _ = FeatureCache(backbone, SMALL, tmp_path, precision="bfloat16").get(one)
    assert len(files(tmp_path)) == 2
    assert 0 < (rounded - exact).norm() < 0.01 * exact.norm()


def test_a_drawn_view_is_its_pictures_own_and_is_not_kept(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    augmentation = Augmentation(scales=(48,), colour=0.2)
    cache = FeatureCache(
        backbone, SMALL, tmp_path / "cache", precision="float32", augmentation=augmentation
    )
    maps, scale = cache.get(one, True, np.random.default_rng(5))
    assert not files(tmp_path / "cache")
    draw = np.random.default_rng(5)
    resize = augmentation.resize(SMALL, draw)
    image, _ = resize.resize(load_image(one.path)[:, ::-1])
    pixels = backbone.preprocess(augmentation.recolour(image, draw))
    with torch.no_grad():
        assert torch.equal(maps, backbone(pixels, stop="conv3_3"))
    assert scale == (pixels.shape[3] / 60, pixels.shape[2] / 40)
    assert scale != cache.get(one)[1]
    assert len(files(tmp_path / "cache")) == 1  # the plain one, for validation
    assert cache.mirror_width(one) == 60


def test_weights_frozen_depth_and_resizing_each_change_the_key(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    other = empty_backbone("vgg16")
    other.load_state_dict(backbone.state_dict())
    other.freeze("conv4_1")
    FeatureCache(backbone, SMALL, tmp_path / "cache").get(one)
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 1
    with torch.no_grad():
        other.conv4_1[0].bias.add_(1)  # above the cut: nothing changes below
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 1
    FeatureCache(other, Resize(shorter=48, longer=64), tmp_path / "cache").get(one)
    other.freeze("conv4_2")
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    with torch.no_grad():
        other.conv1_1[0].bias.add_(1)
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 4


def test_large_maps_of_low_layers_are_computed_and_not_kept(tmp_path):
    one = annotation(tmp_path, "one", 1)
    backbone = empty_backbone("vgg16")
    backbone.freeze("conv3_1")
    cache = FeatureCache(backbone, SMALL, tmp_path / "cache")
    maps, _ = cache.get(one)
    assert cache.stop == "conv2_2" and maps.shape == (1, 128, 8, 12) and not maps.requires_grad
    assert len(list(cache.fill([one]))) == 1
    assert not files(tmp_path)


@pytest.mark.parametrize(("first_trainable", "kept"), [("conv3", 0), ("conv4", 1), ("fc6", 1)])
def test_from_which_layer_on_maps_are_kept_is_the_backbones_to_say(tmp_path, first_trainable, kept):
    one = annotation(tmp_path, "one", 1)
    small = empty_backbone("small")
    small.freeze(first_trainable)
    cache = FeatureCache(small, SMALL, tmp_path / "cache", precision="float32")
    image = SMALL.resize(load_image(one.path))[0]
    with torch.no_grad():
        expected = small(small.preprocess(image), stop=small.last_frozen())
    torch.testing.assert_close(cache.get(one)[0], expected, rtol=1e-3, atol=1e-3)
    assert len(files(tmp_path)) == kept


def test_with_nothing_frozen_the_picture_itself_is_given(tmp_path):
    one = annotation(tmp_path, "one", 1)
    cache = FeatureCache(empty_backbone("vgg16"), SMALL, tmp_path / "cache")
    pixels, _ = cache.get(one)
    assert cache.stop is None and pixels.shape == (1, 3, 32, 48)
    assert not files(tmp_path)


def test_fill_with_flips_makes_both(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    assert len(list(FeatureCache(backbone, SMALL, tmp_path / "cache").fill([one], True))) == 1
    assert len(files(tmp_path / "cache")) == 2


def test_with_flip_maps_the_kept_map_is_mirrored_and_no_second_one_made(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    cache = FeatureCache(backbone, SMALL, tmp_path / "cache", flip_maps=True)
    assert len(list(cache.fill([one], True))) == 1
    assert len(files(tmp_path / "cache")) == 1
    maps, scale = cache.get(one)
    mirrored, same_scale = cache.get(one, flip=True)
    assert torch.equal(mirrored, maps.flip(3)) and same_scale == scale
    assert not torch.equal(mirrored, maps)
    # conv3_3 has a stride of 8, and 48 pixels of input are 6 cells: nothing is cut off.
    assert maps.shape[3] == 6 and cache.mirror_width(one) == one.width
    narrow = replace(one, width=59)  # 47 pixels of input, 5 cells
    assert cache.mirror_width(narrow) == pytest.approx(59 * 40 / 47)
    whole = FeatureCache(backbone, SMALL, tmp_path / "cache")
    assert whole.mirror_width(narrow) == 59


def test_errors_name_the_size(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    with pytest.raises(DataError, match="annotation says 61 x 40"):
        FeatureCache(backbone, SMALL, tmp_path / "cache").get(replace(one, width=61))
