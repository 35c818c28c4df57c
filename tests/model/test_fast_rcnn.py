"""The network as a whole, on a backbone of two tiny layers."""

from __future__ import annotations

import json
import math

import pytest
import torch

from fastrcnn.errors import RecipeError
from fastrcnn.model import Backbone, FastRCNN, ModelConfig, Resize, compress
from fastrcnn.model.fast_rcnn import with_image_index
from tests.model.tiny import tiny_backbone, tiny_config, tiny_model

ROIS = [
    torch.tensor([[10.0, 10, 33, 47], [5, 5, 70, 60]]),
    torch.tensor([[3.0, 4, 60, 50], [0, 0, 79, 63], [20, 10, 31, 60]]),
]
COUNT = 5


def moved(by: torch.Tensor) -> list[torch.Tensor]:
    return [rois + by for rois in ROIS]


def both(first: list[torch.Tensor], *others: list[torch.Tensor]) -> list[torch.Tensor]:
    """The RoIs of each picture, one set after another."""
    return [torch.cat(own) for own in zip(first, *others, strict=True)]


def grown() -> list[torch.Tensor]:
    """Forty RoIs that fall on different cells, twenty a picture."""
    grow = torch.arange(20.0)[:, None] * torch.tensor([0.0, 0, 1, 1])
    return [rois[:1] + grow for rois in ROIS]


class TestModelConfig:
    def test_json_gives_the_same_settings_again(self):
        config = ModelConfig(
            classes=("cat", "dog"),
            backbone="vgg16_bn",
            pooling="walkthrough",
            fc6=1024,
            fc6_rank=64,
            resize=Resize(square=224),
            bbox_reg=False,
        )
        assert ModelConfig(**json.loads(json.dumps(config.model_dump()))) == config

    @pytest.mark.parametrize(
        "wrong",
        [
            {"classes": ()},
            {"classes": ("cat", "cat")},
            {"classes": ("cat", 3)},
            {"classes": "cat"},
            {"classes": ("cat", "")},
            {"classes": {"cat": 1}},
            {"pooling": "mean"},
            {"pool_size": 0},
            {"fc6": 10**9},
            {"fc6": 4096.0},
            {"fc7": True},
            {"fc6_rank": 0},
            {"fc7_rank": "256"},
            {"dropout": 1.0},
            {"dropout": float("nan")},
            {"divisor": 0},
            {"divisor": "10"},
            {"resize": None},
            {"resize": 600},
            {"bbox_reg": 1},
        ],
    )
    def test_refuses_what_cannot_work(self, wrong):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            ModelConfig(**{"classes": ("cat",)} | wrong)

    @pytest.mark.parametrize(
        "wrong, words",
        [
            ({"fc8": 1}, "Unknown setting 'fc8'"),
            ({"self": 1}, "Unknown setting 'self'"),
            ({"resize": {"short": 1}}, "Unknown setting 'short'"),
        ],
    )
    def test_refuses_settings_that_are_none(self, wrong, words):
        with pytest.raises(RecipeError, match=words):
            ModelConfig(**{"classes": ["cat"]} | wrong)

    def test_without_classes_it_is_refused(self):
        with pytest.raises(RecipeError, match="classes is missing"):
            ModelConfig()

    def test_each_setting_is_described(self):
        for settings in (ModelConfig, Resize):
            assert all(field.description for field in settings.model_fields.values())

    def test_refuses_an_unknown_backbone_when_built(self):
        with pytest.raises(RecipeError, match="resnet"):
            FastRCNN(ModelConfig(classes=("cat",), backbone="resnet"))


class TestForward:
    def test_each_roi_has_a_score_and_four_deltas_for_each_class(self):
        scores, deltas = tiny_model()(torch.rand(2, 3, 64, 80), ROIS)
        assert scores.shape == (COUNT, 4)
        assert deltas.shape == (COUNT, 4, 4)

    def test_each_picture_of_a_batch_is_answered_as_alone_one_after_another(self):
        model = tiny_model().eval()
        images = torch.rand(2, 3, 64, 80)
        together = model(images, ROIS)
        alone = [model(image, [rois]) for image, rois in zip(images.split(1), ROIS, strict=True)]
        for ours, parts in zip(together, zip(*alone, strict=True), strict=True):
            torch.testing.assert_close(ours, torch.cat(parts))

    def test_padding_below_and_to_the_right_changes_nothing_away_from_the_edge(self):
        model = tiny_model().eval()
        image, inside = torch.rand(1, 3, 64, 80), [torch.tensor([[10.0, 10, 33, 47]])]
        padded = torch.nn.functional.pad(image, (0, 32, 0, 16))
        for ours, theirs in zip(model(padded, inside), model(image, inside), strict=True):
            torch.testing.assert_close(ours, theirs)

    def test_cached_activations_go_on_where_they_stopped(self):
        model = tiny_model().eval()
        images = torch.rand(2, 3, 64, 80)
        expected = model(images, ROIS)
        cached = model.backbone(images, stop="conv1")
        torch.testing.assert_close(model(cached, ROIS, start="conv1"), expected)
        maps = model.backbone(images)
        torch.testing.assert_close(model(maps, ROIS, start="conv2"), expected)

    def test_no_rois_in_a_picture(self):
        rois = [ROIS[0], torch.zeros(0, 4)]
        scores, deltas = tiny_model()(torch.rand(2, 3, 64, 80), rois)
        assert scores.shape == (2, 4) and deltas.shape == (2, 4, 4)

    def test_refuses_rois_of_images_that_are_not_there(self):
        with pytest.raises(ValueError, match="1 images, but RoIs of 2"):
            tiny_model()(torch.rand(1, 3, 64, 80), ROIS)

    def test_every_learning_layer_gets_a_gradient(self):
        model = tiny_model()
        scores, deltas = model(torch.rand(2, 3, 64, 80), ROIS)
        (scores.square().sum() + deltas.square().sum()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


class TestPredict:
    @pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
    def test_is_softmax_and_undone_normalisation(self, pooling):
        model = tiny_model(pooling=pooling).eval()
        model.head.bbox_std.fill_(0.5)
        features = model.backbone(torch.rand(2, 3, 64, 80))
        scores, bbox_pred = model(features, ROIS, start="conv2")
        probabilities, deltas = model.predict(features, ROIS)
        torch.testing.assert_close(probabilities, scores.softmax(1))
        torch.testing.assert_close(deltas, bbox_pred * 0.5)
        assert not probabilities.requires_grad

    def test_rois_on_the_same_cells_are_computed_once(self):
        model = tiny_model().eval()
        features = torch.rand(2, 8, 4, 5)
        nudged = moved(torch.tensor([0.3, -0.2, 0.1, 0.2]))
        rois = both(ROIS, nudged, [own.flip(0) for own in ROIS])
        seen = []
        model.head.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        probabilities, deltas = model.predict(features, rois)
        assert sum(seen) == COUNT
        scores, bbox_pred = model(features, rois, start="conv2")
        torch.testing.assert_close(probabilities, scores.softmax(1))
        torch.testing.assert_close(deltas, bbox_pred)

    def test_more_rois_than_the_head_sees_at_a_time(self):
        model = tiny_model().eval()
        features = torch.rand(1, 8, 20, 20)
        corners = torch.rand(700, 2) * 200
        rois = [torch.cat([corners, corners + 120 * torch.rand(700, 2)], dim=1)]
        scores, _ = model(features, rois, start="conv2")
        torch.testing.assert_close(model.predict(features, rois)[0], scores.softmax(1))

    @pytest.mark.parametrize("pooling", ["paper", "walkthrough", "align"])
    def test_half_precision_pools_rounded_values(self, pooling):
        model = tiny_model(pooling=pooling).eval()
        features, rois = torch.rand(2, 8, 4, 5).bfloat16().float(), grown()
        with torch.autocast("cpu", torch.bfloat16):
            scores, _ = model(features, rois, start="conv2")
            probabilities, _ = model.predict(features, rois)
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities, scores.float().softmax(1), atol=2e-3, rtol=0)

    @pytest.mark.parametrize("pooling", ["paper", "align"])
    def test_what_may_be_an_object_is_not_rounded(self, pooling):
        model = tiny_model(pooling=pooling).eval()
        model.head.cls_score.weight.data *= 10
        features, rois = torch.rand(2, 8, 4, 5).bfloat16().float(), grown()
        # Half of them are background for sure.
        odds = model.predict(features, rois)[0].log()
        most = (odds[:, 1:].amax(dim=1) - odds[:, 0]).median()
        model.head.cls_score.bias.data[0] += most - math.log(0.005)
        exact = model.predict(features, rois)
        with torch.autocast("cpu", torch.bfloat16):
            found = model.predict(features, rois)
            with torch.no_grad():
                scores = model.score_rois(features, with_image_index(rois, features))
                rounded = model.interpret(*scores)
        may_be = rounded[0][:, 1:].amax(dim=1) >= 0.005
        assert may_be.any() and not may_be.all()
        for ours, ideal, first in zip(found, exact, rounded, strict=True):
            torch.testing.assert_close(ours[may_be], ideal[may_be])
            assert not torch.allclose(first[may_be], ideal[may_be])
            torch.testing.assert_close(ours[~may_be], first[~may_be])

    @pytest.mark.parametrize("pooling", ["paper", "align"])
    def test_without_rois_there_are_no_scores(self, pooling):
        model = tiny_model(pooling=pooling).eval()
        probabilities, deltas = model.predict(torch.rand(1, 8, 4, 5), [torch.zeros(0, 4)])
        assert probabilities.shape == (0, 4)
        assert deltas.shape == (0, 4, 4)

    def test_no_deltas_without_box_regression(self):
        model = tiny_model(bbox_reg=False).eval()
        model.head.bbox_mean.fill_(1)
        assert not model.predict(torch.rand(2, 8, 4, 5), ROIS)[1].any()

    def test_refuses_training_mode(self):
        with pytest.raises(RuntimeError, match="eval"):
            tiny_model().predict(torch.rand(2, 8, 4, 5), ROIS)


class TestFreeze:
    @pytest.mark.parametrize(
        "first, learning",
        [
            (None, ["conv1", "conv2", "fc6", "fc7", "cls_score", "bbox_pred"]),
            ("conv2", ["conv2", "fc6", "fc7", "cls_score", "bbox_pred"]),
            ("fc6", ["fc6", "fc7", "cls_score", "bbox_pred"]),
            ("fc7", ["fc7", "cls_score", "bbox_pred"]),
            ("cls_score", ["cls_score", "bbox_pred"]),
            ("bbox_pred", ["bbox_pred"]),
        ],
    )
    def test_everything_before_the_layer(self, first, learning):
        model = tiny_model()
        model.freeze("bbox_pred")  # what an earlier call froze is no hindrance
        model.freeze(first)
        assert [
            layer
            for layer in model.layers
            if all(
                parameter.requires_grad
                for name, parameter in model.named_parameters()
                if f".{layer}." in f".{name}"
            )
        ] == learning

    def test_papers_choice_for_vgg16(self):
        with torch.device("meta"):
            model = FastRCNN(ModelConfig(classes=("cat",)))
        model.freeze("conv3_1")
        frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
        assert len(frozen) == 8
        assert all(name.startswith(("backbone.conv1_", "backbone.conv2_")) for name in frozen)

    def test_refuses_an_unknown_layer(self):
        with pytest.raises(
            RecipeError, match="'conv9' to train from; the layers are conv1, conv2, fc6"
        ):
            tiny_model().freeze("conv9")


class TestCompress:
    def test_the_copy_gives_nearly_the_same_and_the_original_stays(self):
        model = tiny_model().eval()
        features = torch.rand(2, 8, 4, 5)
        before = model.predict(features, ROIS)
        smaller = compress(model, 23, 7)
        assert (smaller.config.fc6_rank, smaller.config.fc7_rank) == (23, 7)
        assert smaller.head.fc6.rank == 23
        assert not smaller.training
        torch.testing.assert_close(smaller.predict(features, ROIS), before, atol=0.05, rtol=0.1)
        assert model.config == tiny_config()
        torch.testing.assert_close(model.predict(features, ROIS), before)

    def test_its_configuration_builds_the_same_network(self):
        smaller = compress(tiny_model(), 6, None)
        rebuilt = FastRCNN(smaller.config, tiny_backbone())
        rebuilt.load_state_dict(smaller.state_dict())
        assert rebuilt.config.fc7_rank is None

    def test_names_the_layer_and_its_limit(self):
        with pytest.raises(RecipeError, match=r"fc7 cannot be compressed.*1 to 15"):
            compress(tiny_model(), 4, 16)


def test_the_default_network_is_vgg16():
    with torch.device("meta"):
        model = FastRCNN(ModelConfig(classes=("cat", "dog")))
    assert isinstance(model.backbone, Backbone)
    assert model.layers[0] == "conv1_1"
    assert model.layers[-4:] == ("fc6", "fc7", "cls_score", "bbox_pred")
    assert model.head.cls_score.out_features == 3
    assert model.roi_pool.stride == 16
