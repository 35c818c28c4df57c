"""The network: one pass of the convolutions per image, one of the head per RoI (section 2).

Shapes: B images, R RoIs of all images together, C channels, K classes with the background at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.backbone import Backbone, empty_backbone
from fastrcnn.model.head import Head
from fastrcnn.model.resize import Resize
from fastrcnn.model.roi_pool import ALL_ROIS, Pooling, RoIPool
from fastrcnn.runtime.device import is_processor
from fastrcnn.runtime.settings import Settings

HEAD_LAYERS = ("fc6", "fc7", "cls_score", "bbox_pred")
# When detecting, the head gets this many RoIs at a time. This limits its memory.
_ROIS_AT_A_TIME = 128
# From this probability on, a score is computed exactly. It is half of the lowest probability that
# is counted anywhere.
MATTERS = 0.005

_Units = Annotated[int, Field(ge=1, le=16384)]
_Rank = Annotated[int, Field(ge=1)]


class ModelConfig(Settings):
    """All that is needed to build a network and prepare its input.

    The weights fit only a network with the same settings. Raises RecipeError for a value that
    cannot work.
    """

    classes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=10_000)]
    """The class names, without the background; a class's label is its place here plus 1."""

    backbone: str = "vgg16"
    """The convolutions: a name in `BACKBONES`, such as vgg16, caffenet or resnet50."""

    pooling: Pooling = "paper"
    """How RoI pooling rounds a box to cells of the map."""

    pool_size: Annotated[int, Field(ge=1, le=32)] | None = None
    """RoI pooling gives this many bins a side (the paper's H and W); None: as many as the backbone
    was made for."""

    fc6: _Units = 4096
    """Units of the first fully connected layer."""

    fc7: _Units = 4096
    """Units of the second one."""

    fc6_rank: _Rank | None = None
    """The rank of fc6 after truncated SVD (section 3.1), None for a whole layer."""

    fc7_rank: _Rank | None = None
    """The rank of fc7, likewise."""

    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.5
    """The share of units that is left out after fc6 and fc7 in training."""

    divisor: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    """Pooled features are divided by it before fc6."""

    resize: Resize = Resize()
    """How pictures are resized for the network."""

    bbox_reg: bool = True
    """Whether boxes are regressed at all."""

    classifier: Literal["softmax", "svm"] = "softmax"
    """How cls_score becomes scores: by a softmax, or as the margins of one SVM a class (section
    5.4), brought to 0 to 1 by the logistic function. It keeps their order."""

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if not 0 < len(self.classes) == len(set(self.classes)):
            raise ValueError("classes must be different names, at least one.")
        return self


class FastRCNN(nn.Module):
    """`backbone`, `roi_pool` and `head`, built as `config` says.

    backbone: for training, one with weights, from `build_backbone`. Without it the convolutions
    start at random and are filled from a checkpoint. Raises RecipeError when the settings cannot be
    built.
    """

    def __init__(self, config: ModelConfig, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = empty_backbone(config.backbone) if backbone is None else backbone
        pool_size = config.pool_size or self.backbone.pool_size
        self.roi_pool = RoIPool(config.pooling, pool_size, self.backbone.stride)
        self.head = Head(
            self.backbone.channels,
            pool_size,
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

        images: (B, 3, H, W), preprocessed and padded to one size. With `start`, the maps
        (B, C, H', W') after that backbone layer; the convolutions continue from there.
        rois: for each image (R_i, 4), x1 y1 x2 y2 in pixels of the network's input.
        Raises ValueError when the number of images differs from the number of RoI sets.
        """
        return self.score_rois(self.backbone(images, start=start), with_image_index(rois, images))

    def score_rois(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """The second half of `forward`, from the backbone's map (B, C, H', W') and (R, 5) RoIs.

        rois: from `with_image_index`.
        """
        device, count, fc6 = features.device, ALL_ROIS, None
        if not torch.is_grad_enabled():
            count = _ROIS_AT_A_TIME
            if self.config.pooling != "align":
                if torch.is_autocast_enabled(device.type):
                    # The head would round the pooled values anyway. Rounding before the maximum
                    # gives the same result and moves half as many bytes.
                    features = features.to(torch.get_autocast_dtype(device.type))
                if is_processor(device) and len(rois) > (self.config.fc6_rank or self.config.fc6):
                    fc6 = self.head.fc6_channels_last(features.shape[1], features.dtype)
        pooled = self.roi_pool.parts(features, rois, count)
        cls_score, bbox_pred = zip(*(self.head(part, fc6) for part in pooled), strict=True)
        return torch.cat(cls_score), torch.cat(bbox_pred)

    def fc7(self, features: Tensor, rois: Tensor) -> Tensor:
        """The units of fc7 (R, fc7), which the two output layers get; see `score_rois`."""
        pooled = self.roi_pool.parts(features, rois, _ROIS_AT_A_TIME)
        return torch.cat([self.head.hidden(part)[1] for part in pooled])

    def interpret(self, cls_score: Tensor, bbox_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the outputs of `forward` into probabilities (R, K) and deltas (R, K, 4).

        The deltas are no longer normalised. They are zeros when the configuration has no box
        regression. SVMs give scores from 0 to 1 too, but those of a box do not add up to 1.
        """
        deltas = self.head.deltas(bbox_pred)
        if not self.config.bbox_reg:
            deltas = torch.zeros_like(deltas)
        if self.config.classifier == "svm":
            return cls_score.sigmoid(), deltas
        return cls_score.softmax(dim=1), deltas

    @torch.no_grad()
    def predict(self, features: Tensor, rois: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities (R, K) and deltas (R, K, 4), no longer normalised, for detection.

        features: the backbone's map, (B, C, H', W'). rois: as for `forward`. RoIs that cover the
        same cells are computed once. In half precision (autocast) the first scores are only
        approximate. RoIs that may be an object, with a probability of 0.005 or more, go through the
        head again in float32. Raises RuntimeError in training mode, because dropout would make
        every answer different.
        """
        if self.training:
            raise RuntimeError("The model is in training mode; call eval() before predict().")
        distinct, copies = self._distinct(features, with_image_index(rois, features))
        cls_score, bbox_pred = self.score_rois(features, distinct)
        device = features.device.type
        if torch.is_autocast_enabled(device):
            # If two boxes are nearly as good, rounding can make the wrong one win. Most boxes are
            # clear background, where rounding changes nothing.
            objects = self.interpret(cls_score, bbox_pred)[0][:, 1:]
            again = (objects.amax(dim=1) >= MATTERS).nonzero().flatten()
            with torch.autocast(device, enabled=False):
                exact = self.score_rois(features.float(), distinct[again])
            cls_score[again], bbox_pred[again] = exact
        probabilities, deltas = self.interpret(cls_score, bbox_pred)
        return probabilities[copies], deltas[copies]

    def _distinct(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """One RoI for each different set of cells, and the index (R,) of each RoI's own set."""
        if self.config.pooling == "align" or len(rois) == 0:
            return rois, torch.arange(len(rois), device=rois.device)
        cells = self.roi_pool.cells(rois[:, 1:], *features.shape[2:])
        keys = torch.cat([rois[:, :1].long(), cells], dim=1)
        kept, copies = keys.unique(dim=0, return_inverse=True)
        places = torch.arange(len(rois), device=rois.device)
        return rois[places.new_empty(len(kept)).scatter_(0, copies, places)], copies

    def freeze(self, first_trainable: str | None) -> None:
        """Train only this layer and those after it; None trains all. The paper: ``conv3_1``.

        ``fc6`` freezes every convolution, ``bbox_pred`` everything but the box regression. Raises
        RecipeError for a name that is not in `layers`.
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


def with_image_index(rois: Sequence[Tensor], images: Tensor) -> Tensor:
    """(R_i, 4) for each of B images -> (R, 5), each box with its image's index in front.

    Raises ValueError when the number of images differs from the number of RoI sets.
    """
    if len(rois) != len(images):
        raise ValueError(f"There are {len(images)} images, but RoIs of {len(rois)}.")
    indexed = [F.pad(own, (1, 0), value=float(index)) for index, own in enumerate(rois)]
    return torch.cat(indexed)
