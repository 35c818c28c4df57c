from dataclasses import replace

import pytest
import torch
from PIL import Image

from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.model.backbone import Backbone, build_backbone, empty_backbone
from fastrcnn.model.resize import Resize
from fastrcnn.training import LAPTOP, build_model
from fastrcnn.training.caches import feature_cache
from fastrcnn.training.feature_cache import FeatureCache, can_keep
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
            torch.testing.assert_close(maps.float(), expected, rtol=1e-3, atol=1e-3)
            assert scale == (48 / 60, 32 / 40)


def test_bfloat16_features_are_near_and_are_other_files(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    exact, _ = FeatureCache(backbone, SMALL, tmp_path, precision="float32").get(one)
    rounded, _ = FeatureCache(backbone, SMALL, tmp_path, precision="bfloat16").get(one)
    assert len(files(tmp_path)) == 2
    assert 0 < (rounded.float() - exact.float()).norm() < 0.01 * exact.float().norm()


def test_weights_frozen_depth_and_geometry_each_change_the_key(tmp_path, backbone):
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


@pytest.mark.parametrize(
    ("name", "first_trainable", "kept"),
    [
        *(("vgg16", "conv3_1", False), ("vgg16", "conv4_1", True), ("vgg16", None, False)),
        *(("small", "conv3", False), ("small", "conv4", True), ("small", "fc6", True)),
    ],
)
def test_from_which_layer_on_maps_are_kept_is_the_backbones_to_say(
    tmp_path, name, first_trainable, kept
):
    """Large maps of low layers are not worth the disk; below them pictures are used."""
    backbone = empty_backbone(name)
    backbone.freeze(first_trainable)
    assert can_keep(backbone) == kept
    if not kept:
        with pytest.raises(ValueError, match="not kept"):
            FeatureCache(backbone, SMALL, tmp_path)


def test_maps_that_change_from_look_to_look_are_not_kept(tmp_path):
    recipe = LAPTOP.but(fc6=8, fc7=8, fc6_rank=None, shorter=32, longer=64)
    model = build_model(recipe, ("cat",))
    assert isinstance(feature_cache(recipe, model, tmp_path), FeatureCache)
    assert feature_cache(recipe.but(zoom_in=1.5), model, tmp_path) is None
    assert feature_cache(recipe.but(pyramid=(32, 48)), model, tmp_path) is None


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
    narrow = replace(one, path=tmp_path / "narrow.png", width=59)  # 47 pixels of input, 5 cells
    Image.fromarray(load_image(one.path)[:, :59]).save(narrow.path)
    assert cache.mirror_width(narrow) == pytest.approx(59 * 40 / 47)
    whole = FeatureCache(backbone, SMALL, tmp_path / "cache")
    assert whole.mirror_width(narrow) == 59


def test_a_mirrored_map_may_end_beyond_its_picture(tmp_path):
    one = annotation(tmp_path, "one", 1)
    torch.manual_seed(0)
    rounds_up = build_backbone("caffenet", "random")
    rounds_up.freeze("fc6")
    cache = FeatureCache(rounds_up, SMALL, tmp_path / "cache", flip_maps=True)
    maps, (sx, _) = cache.get(one)
    # 48 pixels of input are 12 cells of conv1, 7 after its pool and 4 after conv2's.
    assert maps.shape[3] == 4 and cache.mirror_width(one) * sx == pytest.approx(64)


def test_errors_name_the_size(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    with pytest.raises(DataError, match="annotation says 61 x 40"):
        FeatureCache(backbone, SMALL, tmp_path / "cache").get(replace(one, width=61))
