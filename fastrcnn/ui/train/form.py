"""The form of the Train tab: which settings a visitor can change, and the recipe they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastrcnn.errors import FastRCNNError
from fastrcnn.model.backbone import layer_names
from fastrcnn.model.fast_rcnn import HEAD_LAYERS
from fastrcnn.training.recipe import OPTIMIZERS, Recipe, with_settings
from fastrcnn.training.recipes import RECIPES
from fastrcnn.ui.texts import text


@dataclass(frozen=True)
class Knob:
    """A recipe's setting that the visitor can change.

    name: the recipe's field. group: the settings that it stands with. kind: "number", "choice" or
    "switch". choices: the fixed ones, if any.
    """

    name: str
    group: str
    kind: str = "number"
    choices: tuple[str, ...] = ()


KNOBS = (
    Knob("iterations", "solver"),
    Knob("lr", "solver"),
    Knob("optimizer", "solver", "choice", OPTIMIZERS),
    Knob("first_trainable", "solver", "choice"),
    Knob("seed", "solver"),
    Knob("images_per_batch", "batch"),
    Knob("rois_per_batch", "batch"),
    Knob("fg_fraction", "batch"),
    Knob("fg_iou", "batch"),
    Knob("bg_iou_low", "batch"),
    Knob("bg_iou_high", "batch"),
    Knob("add_ground_truth", "batch", "switch"),
    Knob("loc_weight", "loss"),
    Knob("bbox_reg", "loss", "switch"),
    Knob("normalise_targets", "loss", "switch"),
)
# laptop_conv5 is missing because it continues from trained weights.
RECIPE_NAMES = ("shapes", "walkthrough", "paper", "laptop")


class Chosen(NamedTuple):
    """What a visitor chose.

    name: that of the recipe. changed: the values that differ from the recipe's, as they were
    written. settings: the same as ``name=value`` for the command line, and the iterations if the
    recipe counts epochs.
    """

    name: str
    recipe: Recipe
    changed: dict[str, str]
    settings: list[str]


def defaults(recipe: Recipe) -> dict:
    """The values of a recipe's settings, as the form shows them."""
    values = {knob.name: getattr(recipe, knob.name) for knob in KNOBS}
    values["iterations"] = recipe.iterations or 1000
    values["first_trainable"] = recipe.first_trainable or layer_names(recipe.backbone)[0]
    return {
        "values": values,
        "layers": [*layer_names(recipe.backbone), *HEAD_LAYERS],
        # Small pictures are prepared in no time.
        "pictures": 400 if (recipe.square or recipe.shorter) < 200 else 100,
    }


def read_form(inputs: dict) -> Chosen:
    """The recipe that a form asks for. Raises FastRCNNError."""
    name = inputs.get("recipe")
    if name not in RECIPE_NAMES:
        raise FastRCNNError(text("server.no-recipe", names=", ".join(RECIPE_NAMES)))
    values = inputs.get("values")
    known = {knob.name for knob in KNOBS}
    if not isinstance(values, dict) or not all(
        key in known and isinstance(value, str) and len(value) < 100
        for key, value in values.items()
    ):
        raise FastRCNNError(text("server.settings", names=", ".join(known)))
    usual = defaults(RECIPES[name])["values"]
    changed = {k: v.strip() for k, v in values.items() if v.strip() != _written(usual[k])}
    settings = [f"{key}={value}" for key, value in changed.items()]
    settings += _iterations(RECIPES[name], changed)
    recipe = with_settings(RECIPES[name], settings)
    if recipe.first_trainable == layer_names(recipe.backbone)[0]:
        recipe = recipe.but(first_trainable=None)
    return Chosen(name, recipe, changed, settings)


def _written(value: object) -> str:
    """A setting as the form writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _iterations(recipe: Recipe, changed: dict[str, str]) -> list[str]:
    """Turns a recipe's epochs into iterations, so that runs can be compared."""
    if recipe.iterations is None and "iterations" not in changed:
        return ["iterations=1000"]
    return []
