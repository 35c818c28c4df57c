import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fastrcnn.data.annotation import Annotation
from fastrcnn.data.augment import Augmentation
from fastrcnn.data.cache import FeatureCache, ProposalCache, default_cache, trim_cache
from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.model.backbone import Backbone
from fastrcnn.model.resize import Geometry
from fastrcnn.proposals import MODES, selective_search
from tests.proposals.test_segments import picture

SINGLE = MODES["single"]
SMALL = Geometry(shorter=32, longer=64)


def annotation(folder, name: str, seed: int) -> Annotation:
    path = folder / f"{name}.png"
    image = picture(seed)
    cv2.imwrite(str(path), image[..., ::-1])
    height, width = image.shape[:2]
    empty = np.zeros((0, 4), np.float32)
    labels = np.zeros(0, np.int64)
    return Annotation(name, path, width, height, empty, labels, labels.astype(bool))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    backbone = Backbone()
    backbone.freeze("conv4_1")
    return backbone


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.npy")}


def test_proposals_are_selective_searchs_and_come_from_disk_the_second_time(tmp_path, monkeypatch):
    one = annotation(tmp_path, "one", 1)
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    boxes = cache.get(one)
    assert np.array_equal(boxes, selective_search(load_image(one.path), SINGLE).boxes)
    monkeypatch.setattr("fastrcnn.data.cache.selective_search", None)
    assert np.array_equal(ProposalCache(SINGLE, tmp_path / "cache").get(one), boxes)


@pytest.mark.parametrize("workers", [1, 2])
def test_fill_makes_what_is_missing(tmp_path, workers, monkeypatch):
    monkeypatch.setattr("fastrcnn.data.cache._WORTH_A_PROCESS", 1)
    several = [annotation(tmp_path, str(seed), seed) for seed in range(3)]
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    cache.get(several[1])
    assert len(list(cache.fill(several, workers))) == 3
    assert len(files(tmp_path / "cache")) == 3


def test_trimming_deletes_what_was_written_first_and_it_is_made_again(tmp_path):
    root = tmp_path / "cache"
    several = [annotation(tmp_path, str(seed), seed) for seed in range(3)]
    cache = ProposalCache(SINGLE, root)
    boxes = [cache.get(one) for one in several]
    paths = [cache._arrays.path(one.path) for one in several]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1e9 - age, 1e9 - age))
    (root / "pictures.npy").write_bytes(bytes(10_000))  # not one of ours
    trim_cache(root, sum(path.stat().st_size for path in paths))
    assert all(path.exists() for path in paths)
    trim_cache(root, paths[2].stat().st_size)
    assert [path.exists() for path in paths] == [False, False, True]
    trim_cache(root, 0)
    assert files(root) == {"pictures.npy"}
    assert all(np.array_equal(cache.get(one), b) for one, b in zip(several, boxes, strict=True))
    trim_cache(tmp_path / "nowhere", 0)


def test_another_setting_or_picture_is_another_file(tmp_path):
    one = annotation(tmp_path, "one", 1)
    ProposalCache(SINGLE, tmp_path / "cache").get(one)
    ProposalCache(replace(SINGLE, seed=1), tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 2
    changed = annotation(tmp_path, "one", 2)
    ProposalCache(SINGLE, tmp_path / "cache").get(changed)
    assert len(files(tmp_path / "cache")) == 3


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
    geometry = augmentation.geometry(SMALL, draw)
    image, _ = geometry.resize(load_image(one.path)[:, ::-1])
    pixels = backbone.preprocess(augmentation.recolour(image, draw))
    with torch.no_grad():
        assert torch.equal(maps, backbone(pixels, stop="conv3_3"))
    assert scale == (pixels.shape[3] / 60, pixels.shape[2] / 40)
    assert scale != cache.get(one)[1]
    assert len(files(tmp_path / "cache")) == 1  # the plain one, for validation
    assert cache.mirror_width(one) == 60


def test_weights_frozen_depth_and_geometry_each_change_the_key(tmp_path, backbone):
    one = annotation(tmp_path, "one", 1)
    other = Backbone()
    other.load_state_dict(backbone.state_dict())
    other.freeze("conv4_1")
    FeatureCache(backbone, SMALL, tmp_path / "cache").get(one)
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 1
    with torch.no_grad():
        other.conv4_1[0].bias.add_(1)  # above the cut: nothing changes below
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 1
    FeatureCache(other, Geometry(shorter=48, longer=64), tmp_path / "cache").get(one)
    other.freeze("conv4_2")
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    with torch.no_grad():
        other.conv1_1[0].bias.add_(1)
    FeatureCache(other, SMALL, tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 4


def test_large_maps_of_low_layers_are_computed_and_not_kept(tmp_path):
    one = annotation(tmp_path, "one", 1)
    backbone = Backbone()
    backbone.freeze("conv3_1")
    cache = FeatureCache(backbone, SMALL, tmp_path / "cache")
    maps, _ = cache.get(one)
    assert cache.stop == "conv2_2" and maps.shape == (1, 128, 8, 12) and not maps.requires_grad
    assert len(list(cache.fill([one]))) == 1
    assert not files(tmp_path)


@pytest.mark.parametrize(("first_trainable", "kept"), [("conv3", 0), ("conv4", 1), ("fc6", 1)])
def test_from_which_layer_on_maps_are_kept_is_the_backbones_to_say(tmp_path, first_trainable, kept):
    one = annotation(tmp_path, "one", 1)
    small = Backbone("small")
    small.freeze(first_trainable)
    cache = FeatureCache(small, SMALL, tmp_path / "cache", precision="float32")
    image = SMALL.resize(load_image(one.path))[0]
    with torch.no_grad():
        expected = small(small.preprocess(image), stop=small.last_frozen())
    torch.testing.assert_close(cache.get(one)[0], expected, rtol=1e-3, atol=1e-3)
    assert len(files(tmp_path)) == kept


def test_with_nothing_frozen_the_picture_itself_is_given(tmp_path):
    one = annotation(tmp_path, "one", 1)
    cache = FeatureCache(Backbone(), SMALL, tmp_path / "cache")
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


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    one = annotation(tmp_path, "one", 1)
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    boxes = cache.get(one)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert np.array_equal(cache.get(one), boxes)
    assert file.read_bytes() == whole


def test_errors_name_the_place(tmp_path, backbone):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--cache"):
        ProposalCache(SINGLE, tmp_path / "file")
    one = annotation(tmp_path, "one", 1)
    with pytest.raises(DataError, match="annotation says 61 x 40"):
        FeatureCache(backbone, SMALL, tmp_path / "cache").get(replace(one, width=61))
    one.path.unlink()
    with pytest.raises(DataError, match=r"one\.png"):
        ProposalCache(SINGLE, tmp_path / "cache").get(one)


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
