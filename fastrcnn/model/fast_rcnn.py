"""The network: one pass of the convolutions per image, one of the head per RoI (section 2).

Shapes: B images, R RoIs, C channels, K classes with the background at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

import torch
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.backbone import Backbone
from fastrcnn.model.head import Head
from fastrcnn.model.resize import Geometry
from fastrcnn.model.roi_pool import POOL_FORMS, RoIPool

HEAD_LAYERS = ("fc6", "fc7", "cls_score", "bbox_pred")
# The head sees this many RoIs at a time when detecting, which bounds the memory that it takes.
_ROIS_AT_A_TIME = 128
# The probability from which on it matters exactly: half of the least that is ever counted.
_MATTERS = 0.005


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build a network and feed it; the weights fit no other.

    classes: their names, without the background; a class's label is its place here plus 1.
    backbone: ``vgg16``, ``vgg16_bn`` or ``small``. pool: ``paper``, ``walkthrough`` or ``align``.
    fc6, fc7: units; fc6_rank, fc7_rank: ranks after truncated SVD, None for a layer left whole.
    dropout: after fc6 and fc7. divisor: what pooled features are divided by.
    geometry: how pictures are resized. bbox_reg: whether boxes are regressed at all.

    Raises RecipeError on a value that cannot work.
    """

    classes: tuple[str, ...]
    backbone: str = "vgg16"
    pool: str = "paper"
    pool_size: int = 7
    fc6: int = 4096
    fc7: int = 4096
    fc6_rank: int | None = None
    fc7_rank: int | None = None
    dropout: float = 0.5
    divisor: float = 1.0
    geometry: Geometry = field(default_factory=Geometry)
    bbox_reg: bool = True

    def __post_init__(self) -> None:
        names = self.classes
        if not (
            isinstance(names, tuple)
            and all(isinstance(name, str) and name for name in names)
            and 0 < len(names) == len(set(names)) <= 10_000
        ):
            raise RecipeError("classes must be a tuple of different names, at least one.")
        if self.pool not in POOL_FORMS:
            raise RecipeError(f"pool is {self.pool!r}; it must be one of {', '.join(POOL_FORMS)}.")
        for name, limit in (("pool_size", 32), ("fc6", 16384), ("fc7", 16384)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise RecipeError(f"{name} is {value!r}; it must be a whole number, 1 to {limit}.")
        for name in ("fc6_rank", "fc7_rank"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise RecipeError(f"{name} is {value!r}; it must be a whole number or None.")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise RecipeError(
                f"dropout is {self.dropout!r}; it must be a number from 0 to below 1."
            )
        if type(self.divisor) not in (int, float) or not 0 < self.divisor <= 1e6:
            raise RecipeError(
                f"divisor is {self.divisor!r}; it must be above 0, at most a million."
            )
        if not isinstance(self.geometry, Geometry) or type(self.bbox_reg) is not bool:
            raise RecipeError("geometry must be a Geometry, and bbox_reg true or false.")

    def to_dict(self) -> dict:
        """Plain values, ready for JSON."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: dict) -> ModelConfig:
        """The inverse of `to_dict`. Raises RecipeError on a key that is unknown or missing."""
        values = _only_fields(cls, values)
        if isinstance(values.get("classes"), list):
            values["classes"] = tuple(values["classes"])
        try:
            if "geometry" in values:
                values["geometry"] = Geometry(**_only_fields(Geometry, values["geometry"]))
            return cls(**values)
        except TypeError as error:
            raise RecipeError(f"The model's settings are not complete: {error}.") from error


class FastRCNN(nn.Module):
    """`backbone`, `roi_pool` and `head`, as `config` has them.

    backbone: one with weights in it, from `build_backbone`, for training; without it the
    convolutions are random, to be filled from a checkpoint. Raises RecipeError when the settings
    cannot be built.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone) if backbone is None else backbone
        self.roi_pool = RoIPool(config.pool, config.pool_size, self.backbone.stride)
        self.head = Head(
            self.backbone.channels,
            config.pool_size,
            config.fc6,
            config.fc7,
            len(config.classes) + 1,
            fc6_rank=config.fc6_rank,
            fc7_rank=config.fc7_rank,
            dropout=config.dropout,
            divisor=config.divisor,
        )

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers that have weights, from the picture up."""
        return (*self.backbone.layers, *HEAD_LAYERS)

    def forward(
        self, images: Tensor, rois: Sequence[Tensor], start: str | None = None
    ) -> tuple[Tensor, Tensor]:
        """cls_score (R, K) and bbox_pred (R, K, 4), normalised, in the order of `rois`.

        images: (B, 3, H, W), preprocessed and padded to one size. With `start`, the maps that this
        backbone layer gave earlier, and the convolutions go on after it. rois: for each of the B
        images (R_i, 4), corners in pixels of the network's input.
        """
        maps = self.backbone(images, start=start)
        numbered = [
            torch.cat([own.new_full((len(own), 1), number), own], dim=1)
            for number, own in enumerate(rois)
        ]
        return self.head(self.roi_pool(maps, torch.cat(numbered)))

    @torch.no_grad()
    def predict(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (R, K) and deltas (R, K, 4), no longer normalised, for detection.

        features (B, C, H', W'), rois (R, 5). RoIs that fall on the same cells are computed once.
        In half precision (autocast) that is for a first look: what may be an object, at a
        probability of 0.005 or more, goes through the head again in float32.
        The deltas are zeros when the configuration has no box regression. Raises RuntimeError in
        training mode, in which dropout would make each answer a different one.
        """
        if self.training:
            raise RuntimeError("The model is in training mode; call eval() before predict().")
        rois, copies = self._distinct(features, rois)
        probabilities, bbox_pred = self._look(features, rois)
        device = features.device.type
        if torch.is_autocast_enabled(device):
            # Of two boxes nearly as good, rounding can let the other one win. Most boxes are clear
            # background, for which nothing depends on it.
            again = (probabilities[:, 1:].amax(dim=1) >= _MATTERS).nonzero().flatten()
            with torch.autocast(device, enabled=False):
                exact = self._look(features.float(), rois[again])
            probabilities[again], bbox_pred[again] = exact
        deltas = self.head.deltas(bbox_pred[copies])
        return probabilities[copies], deltas if self.config.bbox_reg else torch.zeros_like(deltas)

    def _look(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (R, K) and bbox_pred (R, K, 4), still normalised, in what is autocast."""
        device, fc6 = features.device.type, None
        if self.config.pool != "align":
            if torch.is_autocast_enabled(device):
                # The head would round what is pooled. The largest of rounded values is the same,
                # and half as much to move.
                features = features.to(torch.get_autocast_dtype(device))
            if device == "cpu" and len(rois) > (self.config.fc6_rank or self.config.fc6):
                fc6 = self.head.fc6_channels_last(features.shape[1], features.dtype)
        pooled = self.roi_pool.parts(features, rois, _ROIS_AT_A_TIME)
        scores, bbox_pred = zip(*(self.head(part, fc6) for part in pooled), strict=True)
        return torch.cat(scores).softmax(dim=1), torch.cat(bbox_pred)

    def _distinct(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """One RoI for each set of cells, and which of them each of the R RoIs is."""
        if self.config.pool == "align" or len(rois) == 0:
            return rois, torch.arange(len(rois), device=rois.device)
        cells = self.roi_pool.cells(rois[:, 1:], *features.shape[2:])
        keys = torch.cat([rois[:, :1].long(), cells], dim=1)
        kept, copies = keys.unique(dim=0, return_inverse=True)
        places = torch.arange(len(rois), device=rois.device)
        return rois[places.new_empty(len(kept)).scatter_(0, copies, places)], copies

    def freeze(self, first_trainable: str | None) -> None:
        """Only the layers from this one on learn; None: all. The paper starts at ``conv3_1``.

        ``fc6`` freezes every convolution, ``bbox_pred`` all but the box regression. Raises
        RecipeError on a name that is not in `layers`.
        """
        if first_trainable is not None and first_trainable not in self.layers:
            raise RecipeError(
                f"There is no layer {first_trainable!r} to train from; the layers are "
                f"{', '.join(self.layers)}."
            )
        self.backbone.freeze(first_trainable)
        first = 0 if first_trainable is None else self.layers.index(first_trainable)
        for index, layer in enumerate(self.layers):
            if layer not in self.backbone.layers:
                getattr(self.head, layer).requires_grad_(index >= first)


def _only_fields(cls: type, values: object) -> dict:
    if not isinstance(values, dict):
        raise RecipeError(f"The settings of {cls.__name__} must be names and values.")
    known = [field.name for field in fields(cls)]
    for key in values:
        if key not in known:
            raise RecipeError(f"Unknown model setting {key!r}; there are {', '.join(known)}.")
    return dict(values)
