import math

import pytest

from fastrcnn.errors import RecipeError
from fastrcnn.training import (
    FIVE_SCALES,
    LAPTOP,
    PAPER,
    RECIPES,
    SHAPES,
    VOC,
    WALKTHROUGH,
    Recipe,
    with_settings,
)


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


def test_s_and_m_are_the_papers():
    for name, backbone, units in (
        ("paper_s", "caffenet", (4096, 4096)),
        ("paper_m", "vgg_cnn_m_1024", (4096, 1024)),
    ):
        recipe = RECIPES[name]
        assert values(recipe, "backbone", "fc6", "fc7") == (backbone, *units)
        # conv1 does not learn (section 4.5). The rest is as for L.
        own = {"backbone": "vgg16", "fc7": 4096, "divisor": 10.0, "first_trainable": "conv3_1"}
        assert recipe.first_trainable == "conv2" and recipe.but(**own) == PAPER


def test_the_rows_of_table_6_differ_from_the_paper_recipe_in_one_setting():
    changes = {
        "classification_only": {"bbox_reg": False},
        "multi_task_without_boxes": {"bbox_reg_at_test": False},
        "stage_wise": {"first_trainable": "bbox_pred"},
    }
    regressed = {}
    for name, change in changes.items():
        assert RECIPES[name] == PAPER.but(**change)
        regressed[name] = RECIPES[name].network_config(("cat",)).bbox_reg
    assert regressed == {
        "classification_only": False,
        "multi_task_without_boxes": False,
        "stage_wise": True,
    }


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
        config = recipe.network_config(("cat", "dog"))
        assert config.classes == ("cat", "dog")
        assert (config.fc6, config.fc6_rank) == (recipe.fc6, recipe.fc6_rank)
        assert config.divisor == recipe.divisor
        assert config.resize.shorter == recipe.shorter
        assert config.resize.square == recipe.square


def test_one_cycle_rises_then_falls_to_nothing():
    recipe = LAPTOP.but(lr=1.0, warmup=0.25)
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
        ("lr=0", ["lr", "greater than 0"]),
        ("flip=maybe", ["flip=maybe", "boolean"]),
        ("fc6=10.5", ["fc6=10.5", "integer"]),
        ("fc6=0", ["fc6"]),
        ("optimizer=adagrad", ["optimizer", "adamw"]),
        ("backbone=resnet", ["backbone", "vgg16_bn"]),
        ("pooling=max", ["pool", "walkthrough"]),
        ("schedule=cosine", ["schedule", "one_cycle"]),
        ("proposals_mode=edge", ["proposals_mode", "quality"]),
        ("fg_fraction=1.5", ["fg_fraction", "less than or equal to 1"]),
        ("bg_iou_high=0.6", ["bg_iou_high", "fg_iou"]),
        ("bg_iou_low=0.6", ["bg_iou_high", "bg_iou_low"]),
        ("images_per_batch=3", ["multiple of images_per_batch"]),
        ("scales=400,4", ["scales", "32"]),
        ("scales=2458,600", ["scales", "2457", "4096"]),
        ("pyramid=400,4", ["pyramid", "32"]),
        ("pyramid=480,1200", ["longer (1000)", "pyramid (1200)"]),
        ("colour_jitter=1", ["colour_jitter", "less than 1"]),
        ("foreground_candidates=20", ["foreground_candidates", "64 RoIs"]),
        ("svd_rank=4096", ["svd_rank", "1 to 4095"]),
        ("svd_rank=0", ["svd_rank", "1 to 4095"]),
        ("svd_at=1", ["svd_at", "less than 1"]),
        ("conv_share=1.2", ["conv_share", "less than or equal to 1"]),
        ("zoom_in=0.5", ["zoom_in", "greater than or equal to 1"]),
        ("zoom_in_share=0.9", ["zoom_out_share and zoom_in_share"]),
        ("data_shares=0.6,-1", ["data_shares", "greater than 0"]),
        ("clip_norm=0", ["clip_norm", "greater than 0"]),
        ("workers=-1", ["workers", "greater than or equal to 0"]),
        ("iterations=none", ["epochs or iterations"]),
        ("iterations=0", ["iterations", "greater than 0"]),
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


def test_the_five_scales_are_the_papers():
    recipe = PAPER.but(**FIVE_SCALES)
    resize = recipe.network_config(("cat",)).resize
    assert (resize.pyramid, resize.longer) == ((480, 576, 688, 864, 1200), 2000)
    given = ["pyramid=480,576,688,864,1200", "longer=2000"]
    assert with_settings(PAPER, given) == recipe
    with pytest.raises(RecipeError, match="scales or pyramid"):
        recipe.but(scales=(480, 600))
    with pytest.raises(RecipeError, match="square"):
        recipe.but(square=224)


def test_scales_and_a_square_are_refused_together():
    with pytest.raises(RecipeError, match="square"):
        with_settings(PAPER, ["square=224", "scales=400,500"])


def test_types_are_checked_when_a_recipe_is_built_in_python_too():
    for values in ({"lr": "0.1"}, {"flip": 1}, {"iterations": True}, {"lr": math.inf}):
        with pytest.raises(RecipeError):
            PAPER.but(**values)
    assert PAPER.but(lr=1).lr == 1


def test_nothing_to_learn_is_refused():
    with pytest.raises(RecipeError, match="nothing would learn"):
        with_settings(PAPER, ["bbox_reg=false", "first_trainable=bbox_pred"])


def test_two_averages_are_refused():
    with pytest.raises(RecipeError, match="average_last or average_decay"):
        with_settings(PAPER, ["average_last=0.1", "average_decay=0.99"])


def test_every_setting_is_described():
    for name, field in Recipe.model_fields.items():
        assert field.description and field.description.rstrip().endswith("."), name


def test_settings_are_sentences_on_one_line_where_they_cannot_work():
    for setting in ("lr=fast", "flip=maybe", "scales=1,x", "optimizer=adagrad", "seed=-1"):
        with pytest.raises(RecipeError) as caught:
            with_settings(PAPER, [setting])
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_the_voc_recipe_sees_enough_and_ends_as_it_ships():
    assert VOC.images_per_batch * VOC.iterations >= 40_000
    assert values(VOC, "fc6", "fc6_rank", "svd_rank", "svd_at") == (1024, None, 256, 0.6)
    assert values(VOC, "candidates", "rois_per_picture") == (320, 64)
    assert values(VOC, "shorter", "longer", "half", "first_trainable") == (
        *(480, 800, True, "conv3_1"),
    )
    assert VOC.resize().shorter in range(min(VOC.scales), max(VOC.scales))
