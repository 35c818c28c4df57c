"""A recipe: everything that decides how a detector is trained, under the paper's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from fastrcnn.errors import RecipeError
from fastrcnn.model import ModelConfig
from fastrcnn.model.backbone import BACKBONES
from fastrcnn.model.resize import MOST_PIXELS, Resize, Side
from fastrcnn.model.roi_pool import Pooling
from fastrcnn.proposals import MODES
from fastrcnn.runtime.precision import PRECISIONS
from fastrcnn.training.augment import Augmentation, Share

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["step", "one_cycle", "constant"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]

# The shares of the learning rate at which a warm-up starts and a one-cycle schedule ends.
_WARMUP_START = 1 / 25
_CYCLE_END = 1e-5


class Recipe(Augmentation):
    """The settings of a training run; the defaults are the paper's (sections 2.2, 2.3 and 4).

    Exactly one of `epochs` and `iterations` is given. Raises RecipeError for a setting that cannot
    work.
    """

    # The network

    backbone: str = "vgg16"
    """The convolutions: vgg16, vgg16_bn, caffenet, vgg_cnn_m_1024, resnet18, resnet50 or small."""
    pooling: Pooling = "paper"
    """How RoIs are pooled: paper, walkthrough or align."""
    fc6: int = 4096
    """Units of the first fully connected layer."""
    fc7: int = 4096
    """Units of the second fully connected layer."""
    fc6_rank: int | None = None
    """fc6 is two thin layers with this many units between them from the start; none: one layer."""
    dropout: float = 0.5
    """The share of the units of fc6 and fc7 that is left out at random in each step."""
    divisor: float = 1.0
    """What pooled features are divided by before fc6."""
    shorter: int = 600
    """A picture's shorter side in pixels, as the network sees it."""
    longer: int = 1000
    """The most pixels that the longer side may have."""
    square: int | None = None
    """Both sides in pixels, for pictures that lose their aspect ratio; none: they keep it."""
    pyramid: tuple[Side, ...] = ()
    """The shorter sides of an image pyramid (paper, section 2.4), with `longer` as their limit.
    Each time a picture is learned from, one of them is drawn. When detecting, each box is looked at
    where its area is nearest to 224 x 224 pixels. None: one scale."""
    bbox_reg: bool = True
    """Learn to regress boxes; without it only the classes are learned."""
    bbox_reg_at_test: bool = True
    """Regress boxes when detecting; without it their loss only helps to learn the features."""

    # The mini-batch

    images_per_batch: Count = 2
    """N, the pictures of a mini-batch."""
    rois_per_batch: Count = 128
    """R, the RoIs that are learned from, of all N pictures together."""
    fg_fraction: Share = 0.25
    """The share of foreground among the RoIs."""
    fg_iou: Share = 0.5
    """A RoI whose best IoU with an object is at least this is foreground."""
    bg_iou_low: Share = 0.1
    """Background has a best IoU of at least this; in a picture without objects all is
    background."""
    bg_iou_high: Share = 0.5
    """Background has a best IoU below this."""
    replacement: bool = False
    """A RoI may be drawn twice, and a picture with one of a kind gives its full share of it."""
    foreground_candidates: Annotated[int, Field(ge=0)] = 0
    """Hard examples: foreground RoIs drawn a picture, of which the hardest are learned from."""
    background_candidates: Annotated[int, Field(ge=0)] = 0
    """Hard examples: background RoIs drawn a picture. Where both are 0, RoIs are drawn by
    `fg_fraction`."""
    add_ground_truth: bool = True
    """The objects' own boxes join the proposals."""
    use_difficult: bool = True
    """Learn the objects marked difficult too; without it, RoIs on them are not used."""
    flip: bool = True
    """Every picture is also used mirrored."""
    flip_maps: bool = False
    """Where the frozen layers' maps are kept, mirror the map and not the picture. That saves
    computing and keeping a second one, and is not quite the same: no filter is its own mirror
    image."""
    balance: Share = 0.0
    """Repeat-factor sampling (Gupta et al. 2019): a picture with a class that fewer than this share
    of the pictures have is seen more often, by the root of how many times fewer; 0: all alike."""
    data_shares: tuple[Positive, ...] = ()
    """The share of the views for each joined data set; none: each picture as often."""

    # The loss

    loc_weight: ZeroOrMore = 1.0
    """Lambda, the weight of the box loss."""
    smooth_l1_beta: Positive = 1.0
    """Where the smooth L1 loss changes from a square to a line."""
    normalise_targets: bool = True
    """Box targets get zero mean and unit variance."""

    # The solver

    first_trainable: str | None = "conv3_1"
    """The lowest layer that learns, by its name in the network; none: all learn."""
    optimizer: Optimizer = "sgd"
    """sgd, adam or adamw."""
    lr: Positive = 0.001
    """The learning rate at its highest."""
    momentum: BelowOne = 0.9
    """Momentum of SGD."""
    weight_decay: ZeroOrMore = 0.0005
    """How strongly weights are pulled towards zero."""
    bias_lr_factor: ZeroOrMore = 2.0
    """How much faster biases learn."""
    conv_lr_factor: ZeroOrMore = 1.0
    """How much faster convolutions learn."""
    # The paper's text decays biases too; its released solver does not (decay_mult: 0). The
    # published results came from the solver, so that is the default.
    bias_decay: bool = False
    """Whether weight_decay holds for biases too."""
    start_decay: ZeroOrMore = 0.0
    """How strongly the convolutions are pulled towards the values that they started with (L2-SP, Li
    et al. 2018), in place of weight_decay."""
    clip_norm: Positive | None = None
    """The largest norm of all gradients together; larger ones are scaled down to it. None: no
    limit."""
    schedule: Schedule = "step"
    """step multiplies lr by lr_decay at each of lr_steps; one_cycle goes down to nothing along a
    cosine; constant stays."""
    lr_steps: tuple[int, ...] = (30_000,)
    """The iterations at which lr falls."""
    lr_decay: Positive = 0.1
    """What lr is multiplied by there."""
    warmup: BelowOne = 0.0
    """The share of the iterations over which lr rises to its highest."""
    epochs: Count | None = None
    """How often the training set is gone through."""
    iterations: Count | None = 40_000
    """How many mini-batches are learned."""
    average_last: Share = 0.0
    """The weights of this last share of the iterations are averaged into the result."""
    average_decay: BelowOne = 0.0
    """The result is an exponential moving average of the weights, which keeps this much of itself
    at each iteration, less at the start; 0: none."""
    svd_rank: int | None = None
    """fc6 is cut to this rank by truncated SVD on the way, and training goes on; none: it is
    not."""
    svd_at: BelowOne = 0.6
    """The share of the iterations after which fc6 is cut."""
    conv_share: Share = 1.0
    """At the end the convolutions are put on the straight line from the values that they started
    with (0) to what they learned (1): Wortsman et al. 2022."""

    # The run

    validation_fraction: BelowOne = 0.0
    """The share of the training pictures that is set apart for validation where no validation
    pictures are given."""
    proposals_mode: str = "fast"
    """Selective search's mode."""
    max_proposals: Count = 2000
    """How many of a picture's proposals are used, the best ones."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """All that is random follows from this number."""
    precision: str = "auto"
    """auto is bfloat16 where the device computes in it, else float32."""
    half: bool = False
    """Store the result in half precision."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that make mini-batches ready; 0: the training does it itself. None: with a GPU one
    a core, else 0."""
    checkpoint_minutes: ZeroOrMore = 5.0
    """The longest time that a killed run loses."""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        for name, choices in (
            ("backbone", tuple(BACKBONES)),
            ("precision", PRECISIONS),
            ("proposals_mode", tuple(MODES)),
        ):
            self._demand(name, getattr(self, name) in choices, f"one of {', '.join(choices)}")
        self._demand("bg_iou_high", self.bg_iou_low <= self.bg_iou_high, "at least bg_iou_low")
        self._demand("bg_iou_high", self.bg_iou_high <= self.fg_iou, "at most fg_iou")
        if self.rois_per_batch % self.images_per_batch:
            raise ValueError(
                f"rois_per_batch ({self.rois_per_batch}) must be a multiple of images_per_batch "
                f"({self.images_per_batch}), so that every picture gives as many."
            )
        if 0 < self.candidates < self.rois_per_picture:
            raise ValueError(
                f"foreground_candidates and background_candidates must add up to the "
                f"{self.rois_per_picture} RoIs that are learned from a picture, or more."
            )
        if self.scales and self.square is not None:
            raise ValueError("scales are shorter sides; they do not go with square.")
        if self.scales and self.pyramid:
            raise ValueError("Give either scales or pyramid, not both.")
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("Give either epochs or iterations, not both and not neither.")
        if self.average_last and self.average_decay:
            raise ValueError("Give either average_last or average_decay, not both.")
        if not self.bbox_reg and self.first_trainable == "bbox_pred":
            raise ValueError("With bbox_reg off and only bbox_pred learning, nothing would learn.")
        if self.svd_rank is not None:
            whole = self.fc6 if self.fc6_rank is None else self.fc6_rank
            self._demand("svd_rank", 1 <= self.svd_rank < whole, f"1 to {whole - 1}")
        self.network_config(("object",))  # its own checks
        most = MOST_PIXELS * self.shorter // self.longer  # `longer` is scaled with the shorter side
        self._demand(
            "scales",
            max(self.scales, default=0) <= most,
            f"at most {most}, so that the longer side has at most {MOST_PIXELS} pixels",
        )
        return self

    def _demand(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {wanted}.")

    @property
    def rois_per_picture(self) -> int:
        """R / N, the RoIs that are learned from each picture."""
        return self.rois_per_batch // self.images_per_batch

    @property
    def candidates(self) -> int:
        """The RoIs of a picture from which hard examples are chosen; 0: no hard examples."""
        return self.foreground_candidates + self.background_candidates

    @property
    def averages(self) -> bool:
        """Whether weights are averaged. That needs a second copy of them."""
        return self.average_last > 0 or self.average_decay > 0

    @property
    def needs_start(self) -> bool:
        """Whether the start values of the convolutions must be kept."""
        return self.start_decay > 0 or self.conv_share < 1

    def resize(self) -> Resize:
        """How pictures are resized."""
        return Resize(
            shorter=self.shorter, longer=self.longer, square=self.square, pyramid=self.pyramid
        )

    def network_config(self, classes: tuple[str, ...]) -> ModelConfig:
        """The network that training starts with, for these class names (without background)."""
        return ModelConfig(
            backbone=self.backbone,
            classes=classes,
            pooling=self.pooling,
            fc6=self.fc6,
            fc7=self.fc7,
            fc6_rank=self.fc6_rank,
            dropout=self.dropout,
            divisor=self.divisor,
            resize=self.resize(),
            bbox_reg=self.bbox_reg and self.bbox_reg_at_test,
        )

    def learning_rate(self, iteration: int, iterations: int) -> float:
        """The learning rate at `iteration` (counted from 0) of a run of `iterations`."""
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


def with_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """`recipe`, changed by each ``key=value`` of `settings`.

    Values are written as in a shell: ``flip=false``, ``lr=1e-4``, ``lr_steps=100,200``,
    ``square=none``. Setting epochs removes iterations, and the other way round. Raises
    RecipeError for an unknown key or a value that does not fit.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals:
            raise RecipeError(f"{setting!r} is not a setting; write key=value, such as lr=0.001.")
        known = Recipe.model_fields
        if key not in known:
            near = get_close_matches(key, known, n=3) or list(known)
            raise RecipeError(f"Unknown setting {key!r}; did you mean {' or '.join(near)}?")
        values[key] = _parse(key, known[key], text.strip())
    for given, other in (("epochs", "iterations"), ("iterations", "epochs")):
        if values.get(given) is not None:
            values.setdefault(other, None)
    return recipe.but(**values)


def _parse(key: str, field: FieldInfo, text: str) -> Any:
    value: Any = text
    if type(None) in get_args(field.annotation) and text.lower() == "none":
        return None
    if get_origin(field.annotation) is tuple:
        value = tuple(item.strip() for item in text.split(",") if item.strip())
    try:
        kind: TypeAdapter[Any] = TypeAdapter(field.annotation)  # type: ignore[arg-type]
        return kind.validate_python(value, strict=False)
    except ValidationError as error:
        wanted = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
        # After the comma pydantic says what it could not do, which adds nothing.
        wanted = wanted.partition(", unable")[0]
        where = ", with commas between several" if isinstance(value, tuple) else ""
        raise RecipeError(f"{key}={text} does not fit; it must be {wanted}{where}.") from None
