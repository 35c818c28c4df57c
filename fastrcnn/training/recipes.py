"""Recipes: everything that decides how a detector is trained, under the paper's names."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches

from fastrcnn.errors import RecipeError
from fastrcnn.model import ModelConfig
from fastrcnn.model.backbone import BACKBONES
from fastrcnn.model.resize import Resize
from fastrcnn.proposals import MODES
from fastrcnn.runtime.precision import PRECISIONS
from fastrcnn.training.augment import Augmentation

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("step", "one_cycle", "constant")

# A warm-up starts, and a one-cycle schedule ends, at these shares of the learning rate.
_WARMUP_START = 1 / 25
_CYCLE_END = 1e-5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training run; the defaults are the paper's (sections 2.2, 2.3 and 4).

    Network
        backbone, pooling, fc6, fc7, fc6_rank, dropout, divisor: see ModelConfig. shorter, longer,
        square: see Resize. bbox_reg: learn to regress boxes; without it only the classes are
        learned.
    Mini-batch
        images_per_batch is N and rois_per_batch R, of all N pictures together. An RoI whose best
        IoU with an object is at least fg_iou is foreground, one in [bg_iou_low, bg_iou_high) is
        background, any other is not used. fg_fraction: the share of foreground. replacement: an RoI
        may be drawn twice, and a picture with one of either kind gives its full share of it.
        add_ground_truth: the objects' own boxes join the proposals. use_difficult: learn the
        objects marked difficult too. flip: every picture is also used mirrored. flip_maps: then
        the kept map of the frozen layers is mirrored, not the picture; that saves computing and
        keeping a second one, and is not quite the same, since no filter is its own mirror image.
    Loss
        loc_weight is lambda. normalise_targets: box targets get zero mean and unit variance.
    Solver
        first_trainable: the lowest layer that learns, by its name in the network, None for all.
        bias_lr_factor, conv_lr_factor: how much faster biases and convolutions learn. bias_decay:
        whether weight_decay holds for biases too. schedule: "step" multiplies lr by lr_decay at
        each iteration in lr_steps; "one_cycle" goes down to nothing along a cosine; these and
        "constant" can start with a warm-up over the share `warmup` of all iterations. Exactly one
        of epochs and iterations is given.
    Run
        validation_fraction: the share of the training pictures that is set apart for validation
        where no validation pictures are given. proposals_mode: of selective search; the best
        max_proposals are used. average_last: the weights of this last share of the iterations are
        averaged into the result. precision: "auto" is bfloat16 where the processor computes in it,
        else float32. checkpoint_minutes: the longest time that a killed run loses.

    Raises RecipeError for a setting that cannot work.
    """

    backbone: str = "vgg16"
    pooling: str = "paper"
    fc6: int = 4096
    fc7: int = 4096
    fc6_rank: int | None = None
    dropout: float = 0.5
    divisor: float = 1.0
    shorter: int = 600
    longer: int = 1000
    square: int | None = None
    bbox_reg: bool = True

    images_per_batch: int = 2
    rois_per_batch: int = 128
    fg_fraction: float = 0.25
    fg_iou: float = 0.5
    bg_iou_low: float = 0.1
    bg_iou_high: float = 0.5
    replacement: bool = False
    add_ground_truth: bool = True
    use_difficult: bool = True
    flip: bool = True
    flip_maps: bool = False
    scales: tuple[int, ...] = ()
    colour_jitter: float = 0.0
    candidates_per_batch: int | None = None

    loc_weight: float = 1.0
    normalise_targets: bool = True

    first_trainable: str | None = "conv3_1"
    optimizer: str = "sgd"
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0005
    bias_lr_factor: float = 2.0
    conv_lr_factor: float = 1.0
    # The paper's text decays biases too; its released solver does not (decay_mult: 0). The
    # published results came from the solver, so that is the default.
    bias_decay: bool = False
    schedule: str = "step"
    lr_steps: tuple[int, ...] = (30_000,)
    lr_decay: float = 0.1
    warmup: float = 0.0
    epochs: int | None = None
    iterations: int | None = 40_000

    validation_fraction: float = 0.0
    proposals_mode: str = "fast"
    max_proposals: int = 2000
    average_last: float = 0.0
    seed: int = 0
    precision: str = "auto"
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check_type(field.name)
        for name, choices in (
            ("backbone", BACKBONES),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("precision", PRECISIONS),
            ("proposals_mode", tuple(MODES)),
        ):
            self._check(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        positive = "images_per_batch rois_per_batch lr lr_decay max_proposals"
        if self.epochs is not None:
            positive += " epochs"
        if self.iterations is not None:
            positive += " iterations"
        for name in positive.split():
            self._check(name, getattr(self, name) > 0, "above 0")
        zero_or_more = (
            "loc_weight weight_decay bias_lr_factor conv_lr_factor checkpoint_minutes seed"
        )
        for name in zero_or_more.split():
            self._check(name, getattr(self, name) >= 0, "0 or more")
        self._check("seed", self.seed < 2**63, "below 2 to the power of 63")
        for name in ("fg_fraction", "fg_iou", "bg_iou_low", "bg_iou_high", "average_last"):
            self._check(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        for name in ("momentum", "warmup", "validation_fraction", "colour_jitter"):
            self._check(name, 0 <= getattr(self, name) < 1, "from 0 to below 1")
        self._check("bg_iou_high", self.bg_iou_low <= self.bg_iou_high, "at least bg_iou_low")
        self._check("bg_iou_high", self.bg_iou_high <= self.fg_iou, "at most fg_iou")
        if self.rois_per_batch % self.images_per_batch:
            raise RecipeError(
                f"rois_per_batch ({self.rois_per_batch}) must be a multiple of images_per_batch "
                f"({self.images_per_batch}), so that every picture gives as many."
            )
        if self.candidates_per_batch is not None:
            self._check(
                "candidates_per_batch",
                self.candidates_per_batch >= self.rois_per_batch
                and self.candidates_per_batch % self.images_per_batch == 0,
                f"at least rois_per_batch ({self.rois_per_batch}) and a multiple of "
                f"images_per_batch ({self.images_per_batch})",
            )
        for scale in self.scales:
            if not 16 <= scale <= 4096:
                raise RecipeError(f"scales has {scale}; it must be 16 to 4096 pixels.")
        if self.scales and self.square is not None:
            raise RecipeError("scales are shorter sides; they do not go with square.")
        if (self.epochs is None) == (self.iterations is None):
            raise RecipeError("Give either epochs or iterations, not both and not neither.")
        if not self.bbox_reg and self.first_trainable == "bbox_pred":
            raise RecipeError("With bbox_reg off and only bbox_pred learning, nothing would learn.")
        self.model_config(("object",))  # its own checks

    def _check_type(self, name: str) -> None:
        value = getattr(self, name)
        allowed = _types(name)
        if float in allowed and type(value) is int:
            return
        right = type(value) in allowed and (
            type(value) is not tuple or all(type(item) is int for item in value)
        )
        if type(value) is float:
            right = right and math.isfinite(value)
        if not right:
            raise RecipeError(f"{name} is {value!r}; it must be {_wanted(name)}.")

    def _check(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise RecipeError(f"{name} is {getattr(self, name)}; it must be {wanted}.")

    def model_config(self, classes: tuple[str, ...]) -> ModelConfig:
        """The network that this recipe trains, for these class names (without the background)."""
        return ModelConfig(
            backbone=self.backbone,
            classes=classes,
            pooling=self.pooling,  # type: ignore[arg-type]  # checked there
            fc6=self.fc6,
            fc7=self.fc7,
            fc6_rank=self.fc6_rank,
            dropout=self.dropout,
            divisor=self.divisor,
            resize=Resize(shorter=self.shorter, longer=self.longer, square=self.square),
            bbox_reg=self.bbox_reg,
        )

    def augmentation(self) -> Augmentation:
        """What is drawn anew each time that a training picture is looked at."""
        return Augmentation(self.scales, self.colour_jitter)

    def learning_rate(self, iteration: int, iterations: int) -> float:
        """The learning rate of `iteration`, counted from 0, of `iterations` in all."""
        warmup = self.warmup * iterations
        if iteration < warmup:
            return _cosine(self.lr * _WARMUP_START, self.lr, iteration / warmup)
        if self.schedule == "one_cycle":
            share = (iteration - warmup) / max(iterations - 1 - warmup, 1)
            return _cosine(self.lr, self.lr * _CYCLE_END, min(share, 1.0))
        if self.schedule == "step":
            return self.lr * self.lr_decay ** sum(iteration >= step for step in self.lr_steps)
        return self.lr


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _types(name: str) -> tuple[type, ...]:
    """The types that a field may have: ``int | None`` gives (int, NoneType)."""
    hint = _HINTS[name]
    if isinstance(hint, types.UnionType):
        return typing.get_args(hint)
    return (typing.get_origin(hint) or hint,)


def _wanted(name: str) -> str:
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a finite number",
        str: "a word",
        tuple: "whole numbers with commas between them",
        type(None): "none",
    }
    return " or ".join(words[kind] for kind in _types(name))


_HINTS = typing.get_type_hints(Recipe)

# Both systems start fc6 and fc7 from ImageNet; the weights that ship with this project hold the
# convolutions only, so that here the whole head starts at random. VGG16's activations are some ten
# times what such layers are made for: undivided, the first losses are near 100 instead of log 21.
_RANDOM_HEAD_DIVISOR = 10.0

# The paper's system, VGG16 (L).
PAPER = Recipe(divisor=_RANDOM_HEAD_DIVISOR)

# The walk-through: everything at 224 x 224, convolutions frozen, Adam on the rest for 3 epochs,
# validated on a fifth of its pictures. Its slips are not repeated: the box loss is not averaged
# over the four numbers of a box (see multi_task_loss), and no dropout at validation and test time.
WALKTHROUGH = Recipe(
    backbone="vgg16_bn",
    pooling="walkthrough",
    divisor=_RANDOM_HEAD_DIVISOR,
    square=224,
    replacement=True,
    add_ground_truth=False,
    flip=False,
    normalise_targets=False,
    first_trainable="fc6",
    optimizer="adam",
    lr=1e-4,
    weight_decay=0.0,
    bias_lr_factor=1.0,
    schedule="constant",
    lr_steps=(),
    epochs=3,
    iterations=None,
    validation_fraction=0.2,
)

LAPTOP = Recipe(
    fc6=1024,
    fc7=1024,
    fc6_rank=256,
    divisor=_RANDOM_HEAD_DIVISOR,
    shorter=400,
    longer=667,
    images_per_batch=4,
    rois_per_batch=256,
    use_difficult=False,
    flip_maps=True,
    first_trainable="fc6",
    optimizer="adamw",
    lr=5e-4,
    weight_decay=0.2,
    bias_lr_factor=1.0,
    schedule="one_cycle",
    lr_steps=(),
    warmup=0.05,
    iterations=12_000,
    average_last=0.1,
)
"""What two cores can train: the convolutions frozen, so that their maps are computed once (two
seconds a picture, proposals included), mirrored maps for mirrored pictures, and a head of a quarter
of the width whose fc6 is of low rank from the start: a step takes a fifth of a second, and nothing
is lost to truncated SVD afterwards.

The detector that ships is made by this and the two below, one from the other, all with seed 0 (and,
before this one, a shorter run of it that checkpoints/README.md gives):

    python -m fastrcnn train --recipe laptop --data VOC2007 --out runs/laptop
    python -m fastrcnn train --recipe laptop_conv5 --data VOC2007 --out runs/conv5
        --init runs/laptop/model.safetensors
    torchrun --nproc-per-node 2 -m fastrcnn train --recipe laptop_conv4 --data VOC2007
        --out runs/conv4 --init runs/conv5/model.safetensors
    python -m fastrcnn compress --checkpoint runs/conv4/model.safetensors --half --shorter 480
        --out fast_rcnn_vgg16_voc07.safetensors

On two cores of an AMD EPYC they take 39, 48 and 98 minutes once the proposals and kept maps are on
disk. Expect mAP 0.54, 0.56 and 0.60 on the 514 held-out pictures without box voting, the last
0.64 with it; checkpoints/README.md says exactly what was done and measured.
"""

LAPTOP_CONV5 = replace(
    LAPTOP,
    first_trainable="conv5_1",
    lr=2e-4,
    conv_lr_factor=0.1,
    warmup=0.1,
    iterations=4000,
)
"""The next step from a detector that `laptop` made (--init): the last block of convolutions learns
too, slowly, on kept maps of the layers below it."""

LAPTOP_CONV4 = replace(
    LAPTOP_CONV5,
    candidates_per_batch=1024,
    bg_iou_low=0.0,
    use_difficult=True,
    flip_maps=False,
    scales=(352, 400, 448, 512),
    colour_jitter=0.3,
    first_trainable="conv4_1",
    conv_lr_factor=0.15,
    iterations=1500,
)
"""And the next, from what `laptop_conv5` made: conv4 learns too. Every picture is seen at another
scale, in other light and truly mirrored each time, since by now the network knows the pictures by
heart (its class loss is twice as high on others). Of four times as many RoIs the hardest learn."""

# The built-in set of shapes, learned from scratch while a class looks on; with the defaults of
#   python -m fastrcnn shapes --out SET
#   python -m fastrcnn train --recipe shapes --data SET --out RUN
#   python -m fastrcnn evaluate --data SET --split test --checkpoint RUN/model.safetensors
# the training takes 78 seconds on two idle cores of an AMD EPYC (seed 4; 107 of processor time), a
# third of it for the proposals, and finds 200 new pictures' shapes with mAP 0.92 to 0.95 (area, IoU
# 0.5; seeds 1 to 4 of data and training alike: 0.921, 0.945, 0.929, 0.922). In so few steps dropout
# and the paper's share of foreground, a quarter, cost 0.1 of mAP.
SHAPES = Recipe(
    backbone="small",
    fc6=128,
    fc7=128,
    dropout=0.0,
    shorter=160,
    longer=240,
    fg_fraction=0.5,
    first_trainable=None,
    optimizer="adamw",
    lr=2e-3,
    weight_decay=0.01,
    bias_lr_factor=1.0,
    schedule="one_cycle",
    lr_steps=(),
    warmup=0.1,
    iterations=1200,
    average_last=0.1,
    precision="float32",
)

RECIPES = {
    "paper": PAPER,
    "walkthrough": WALKTHROUGH,
    "laptop": LAPTOP,
    "laptop_conv5": LAPTOP_CONV5,
    "laptop_conv4": LAPTOP_CONV4,
    "shapes": SHAPES,
}


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """`recipe` with each ``key=value`` of `settings` in place.

    Values are written as in a shell: ``flip=false``, ``lr=1e-4``, ``lr_steps=100,200``,
    ``square=none``. Giving epochs takes iterations away, and the other way round. Raises
    RecipeError for an unknown key or a value that does not fit.
    """
    values: dict[str, typing.Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise RecipeError(f"{setting!r} is not a setting; write key=value, such as lr=0.001.")
        values[key] = _parse(key, text.strip())
    for given, other in (("epochs", "iterations"), ("iterations", "epochs")):
        if values.get(given) is not None:
            values.setdefault(other, None)
    return replace(recipe, **values)


def _parse(key: str, text: str) -> object:
    known = [field.name for field in fields(Recipe)]
    if key not in known:
        near = get_close_matches(key, known, n=3) or known
        raise RecipeError(f"Unknown setting {key!r}; did you mean {' or '.join(near)}?")
    allowed = _types(key)
    if type(None) in allowed and text.lower() == "none":
        return None
    try:
        if bool in allowed:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if tuple in allowed:
            return tuple(int(item) for item in text.split(",") if item.strip())
        if int in allowed:
            return int(text)
        if float in allowed:
            return float(text)
    except (KeyError, ValueError):
        raise RecipeError(f"{key}={text} does not fit; it must be {_wanted(key)}.") from None
    return text
