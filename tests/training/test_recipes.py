import dataclasses
import math

import pytest

from fastrcnn.errors import RecipeError
from fastrcnn.training import LAPTOP, PAPER, RECIPES, SHAPES, WALKTHROUGH, Recipe, with_settings


def values(recipe: Recipe, *names: str) -> tuple:
    return tuple(getattr(recipe, name) for name in names)


def test_the_paper_recipe_is_the_papers():
    assert values(PAPER, "backbone", "pooling", "fc6", "fc7", "dropout") == (
        *("vgg16", "paper", 4096, 4096, 0.5),
    )
    assert values(PAPER, "shorter", "longer", "square", "flip") == (600, 1000, None, True)
    assert values(PAPER, "images_per_batch", "rois_per_batch", "fg_fraction") == (2, 128, 0.25)
    assert values(PAPER, "fg_iou", "bg_iou_low", "bg_iou_high") == (0.5, 0.1, 0.5)
    assert values(PAPER, "add_ground_truth", "normalise_targets", "replacement") == (
        *(True, True, False),
    )
    assert values(PAPER, "optimizer", "lr", "momentum", "weight_decay") == (
        *("sgd", 0.001, 0.9, 0.0005),
    )
    assert values(PAPER, "bias_lr_factor", "bias_decay", "loc_weight") == (2, False, 1)
    assert values(PAPER, "iterations", "epochs", "first_trainable") == (40_000, None, "conv3_1")
    rates = [PAPER.learning_rate(i, 40_000) for i in (0, 29_999, 30_000, 39_999)]
    assert rates == pytest.approx([0.001, 0.001, 0.0001, 0.0001])


def test_the_walkthrough_recipe_is_the_walkthroughs():
    recipe = WALKTHROUGH
    assert values(recipe, "backbone", "pooling", "square", "first_trainable") == (
        *("vgg16_bn", "walkthrough", 224, "fc6"),
    )
    assert values(recipe, "fc6", "fc7", "dropout") == (4096, 4096, 0.5)
    assert values(recipe, "images_per_batch", "rois_per_batch", "fg_fraction", "replacement") == (
        *(2, 128, 0.25, True),
    )
    assert values(recipe, "fg_iou", "bg_iou_low", "bg_iou_high") == (0.5, 0.1, 0.5)
    assert values(recipe, "optimizer", "lr", "weight_decay", "bias_lr_factor") == (
        *("adam", 1e-4, 0, 1),
    )
    assert values(recipe, "flip", "normalise_targets", "add_ground_truth", "loc_weight") == (
        *(False, False, False, 1),
    )
    assert values(recipe, "epochs", "validation_fraction", "average_last") == (3, 0.2, 0)
    assert {recipe.learning_rate(i, 100) for i in range(100)} == {1e-4}


def test_the_shapes_recipe_keeps_the_papers_structure_and_learns_everything():
    structure = (
        *("pooling", "fg_iou", "bg_iou_low", "bg_iou_high", "images_per_batch", "rois_per_batch"),
        *("add_ground_truth", "normalise_targets", "flip", "loc_weight", "bbox_reg"),
    )
    assert values(SHAPES, *structure) == values(PAPER, *structure)
    assert values(SHAPES, "backbone", "first_trainable") == ("small", None)
    assert RECIPES["shapes"] is SHAPES


def test_every_recipe_builds_its_network_settings():
    for recipe in RECIPES.values():
        config = recipe.model_config(("cat", "dog"))
        assert config.classes == ("cat", "dog")
        assert (config.fc6, config.fc6_rank) == (recipe.fc6, recipe.fc6_rank)
        assert config.divisor == recipe.divisor
        assert config.resize.shorter == recipe.shorter
        assert config.resize.square == recipe.square


def test_one_cycle_rises_then_falls_to_nothing():
    recipe = dataclasses.replace(LAPTOP, lr=1.0, warmup=0.25)
    rates = [recipe.learning_rate(i, 1000) for i in range(1000)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[250] == 1
    assert rates[:251] == sorted(rates[:251])
    assert rates[250:] == sorted(rates[250:], reverse=True)
    assert 0 < rates[-1] < 1e-4


def test_settings_are_parsed_by_the_type_of_their_field():
    recipe = with_settings(
        PAPER,
        ["lr=1e-4", "flip=false", "lr_steps=100, 200", "square=224", "optimizer=adam", "seed=7"],
    )
    assert values(recipe, "lr", "flip", "lr_steps", "square", "optimizer", "seed") == (
        *(1e-4, False, (100, 200), 224, "adam", 7),
    )
    assert with_settings(recipe, ["square=none", "lr_steps="]).square is None
    assert with_settings(PAPER, []) == PAPER


def test_epochs_and_iterations_take_each_others_place():
    assert values(with_settings(PAPER, ["epochs=2"]), "epochs", "iterations") == (2, None)
    assert values(with_settings(WALKTHROUGH, ["iterations=9"]), "epochs", "iterations") == (None, 9)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("learning_rate=1", ["learning_rate", "did you mean"]),
        ("image_per_batch=1", ["images_per_batch"]),
        ("lr", ["key=value"]),
        ("lr=fast", ["lr=fast", "number"]),
        ("lr=nan", ["lr", "finite"]),
        ("lr=0", ["lr", "above 0"]),
        ("flip=maybe", ["flip", "true or false"]),
        ("fc6=10.5", ["fc6", "whole number"]),
        ("fc6=0", ["fc6"]),
        ("optimizer=adagrad", ["optimizer", "adamw"]),
        ("backbone=resnet", ["backbone", "vgg16_bn"]),
        ("pooling=max", ["pooling", "walkthrough"]),
        ("schedule=cosine", ["schedule", "one_cycle"]),
        ("proposals_mode=edge", ["proposals_mode", "quality"]),
        ("fg_fraction=1.5", ["fg_fraction", "0 to 1"]),
        ("bg_iou_high=0.6", ["bg_iou_high", "fg_iou"]),
        ("bg_iou_low=0.6", ["bg_iou_high", "bg_iou_low"]),
        ("images_per_batch=3", ["multiple of images_per_batch"]),
        ("scales=400,4", ["scales", "16"]),
        ("colour_jitter=1", ["colour_jitter", "below 1"]),
        ("candidates_per_batch=100", ["candidates_per_batch", "rois_per_batch (128)"]),
        ("candidates_per_batch=301", ["candidates_per_batch", "multiple"]),
        ("iterations=none", ["epochs or iterations"]),
        ("iterations=0", ["iterations", "above 0"]),
        ("average_last=2", ["average_last"]),
        ("dropout=1", ["dropout"]),
        ("shorter=4", ["shorter"]),
        ("lr_steps=1,x", ["lr_steps", "commas"]),
        ("seed=-1", ["seed"]),
        (f"seed={2**63}", ["seed"]),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_its_name(setting, words):
    with pytest.raises(RecipeError) as caught:
        with_settings(PAPER, [setting])
    for word in words:
        assert word in str(caught.value)


def test_scales_and_a_square_are_refused_together():
    with pytest.raises(RecipeError, match="square"):
        with_settings(PAPER, ["square=224", "scales=400,500"])


def test_types_are_checked_when_a_recipe_is_built_in_python_too():
    for values in ({"lr": "0.1"}, {"flip": 1}, {"iterations": True}, {"lr": math.inf}):
        with pytest.raises(RecipeError):
            dataclasses.replace(PAPER, **values)
    assert dataclasses.replace(PAPER, lr=1).lr == 1


def test_nothing_to_learn_is_refused():
    with pytest.raises(RecipeError, match="nothing would learn"):
        with_settings(PAPER, ["bbox_reg=false", "first_trainable=bbox_pred"])
