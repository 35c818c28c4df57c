"""The part that every RoI goes through: fc6, fc7 and the two sibling outputs (section 2.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastrcnn.errors import RecipeError


class Head(nn.Module):
    """Pooled features to class scores and box deltas. R RoIs, C channels, K classes, S x S bins.

    classes: K, including the background (0). fc6_rank, fc7_rank: build that layer as two layers,
    the form after truncated SVD. divisor: the pooled features are divided by it. It brings VGG16's
    large activations to the order of 1, as layers that start at random need. cls_score and
    bbox_pred start as in the paper (section 2.3: normal, standard deviation 0.01 and 0.001, biases
    0). The paper takes fc6 and fc7 from ImageNet; here they start as He et al. (2015) start layers
    before a ReLU.

    bbox_mean, bbox_std: (4,) buffers, the statistics that the targets were normalised with (section
    2.3). Until training sets them they change nothing: 0 and 1. Raises RecipeError when a rank is
    too large.
    """

    bbox_mean: Tensor
    bbox_std: Tensor

    def __init__(
        self,
        in_channels: int,
        pool_size: int,
        fc6: int,
        fc7: int,
        classes: int,
        *,
        fc6_rank: int | None = None,
        fc7_rank: int | None = None,
        dropout: float = 0.5,
        divisor: float = 1.0,
    ) -> None:
        super().__init__()
        self.divisor = divisor
        self.fc6 = _hidden_layer(in_channels * pool_size**2, fc6, fc6_rank)
        self.fc7 = _hidden_layer(fc6, fc7, fc7_rank)
        self.dropout = nn.Dropout(dropout)
        self.cls_score = nn.Linear(fc7, classes)
        self.bbox_pred = nn.Linear(fc7, 4 * classes)
        for layer, std in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            if _is_real(layer.weight):
                nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        self.register_buffer("bbox_mean", torch.zeros(4))
        self.register_buffer("bbox_std", torch.ones(4))

    def forward(
        self, pooled: Tensor, fc6: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(R, C, S, S) -> cls_score (R, K) and bbox_pred (R, K, 4), tx ty tw th, normalised.

        fc6: the result of `fc6_channels_last`, for RoIs whose channels come last in memory.
        """
        return self.outputs(self.hidden(pooled, fc6)[1])

    def hidden(
        self, pooled: Tensor, fc6: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(R, C, S, S) -> the units of fc6 (R, fc6) and of fc7 (R, fc7). fc6: as in `forward`."""
        if fc6 is None:
            x, fc6 = pooled.flatten(1), self.fc6  # (R, C S S)
        else:
            x = pooled.permute(0, 2, 3, 1).flatten(1)  # (R, S S C)
        if self.divisor != 1:
            x = x / self.divisor
        first = self.dropout(fc6(x).relu())
        return first, self.dropout(self.fc7(first).relu())

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The units of fc7 (R, fc7) -> cls_score (R, K) and bbox_pred (R, K, 4), normalised."""
        # Never in half precision, which would round a logit of 10 by up to 0.03.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.cls_score.weight.dtype)
            return self.cls_score(x), self.bbox_pred(x).unflatten(1, (-1, 4))

    def fc6_channels_last(self, channels: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """fc6 with its weight in the order (S, S, C) and of this dtype.

        RoI pooling leaves the `channels` last in memory. Rearranging one weight is faster than
        rearranging many RoIs.
        """
        layer = self.fc6
        first, second = (
            (layer.first, layer.second) if isinstance(layer, LowRankLinear) else (layer, None)
        )
        weight = first.weight.to(dtype).unflatten(1, (channels, -1)).transpose(1, 2).flatten(1)

        def fc6(x: Tensor) -> Tensor:
            x = F.linear(x, weight, first.bias)
            return x if second is None else second(x)

        return fc6

    def deltas(self, bbox_pred: Tensor) -> Tensor:
        """Undo the normalisation of the targets: (R, K, 4) -> (R, K, 4)."""
        return bbox_pred * self.bbox_std + self.bbox_mean

    @torch.no_grad()
    def normalise(self, mean: Tensor, std: Tensor) -> None:
        """Normalise the targets by these from now on, both (4,) (section 2.3).

        If bbox_pred has learned with others, it is rescaled, and `deltas` stays the same.
        """
        mean, std = mean.to(self.bbox_mean), std.to(self.bbox_std)
        layer = self.bbox_pred
        weight, bias = layer.weight.unflatten(0, (-1, 4)), layer.bias.unflatten(0, (-1, 4))
        if bias.any():  # there is none before the layer has learned
            bias.copy_((self.deltas(bias) - mean) / std)
            weight.mul_((self.bbox_std / std)[:, None])
        self.bbox_mean.copy_(mean)
        self.bbox_std.copy_(std)


class LowRankLinear(nn.Module):
    """Two layers that replace one: `first` is S V^T without a bias, `second` is U with the bias.

    Raises RecipeError unless 1 <= rank < min(in_features, out_features): at the full rank two
    layers would cost more than one.
    """

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        check_rank(rank, min(in_features, out_features))
        self.first = nn.Linear(in_features, rank, bias=False)
        self.second = nn.Linear(rank, out_features)

    @property
    def rank(self) -> int:
        """The number of units between the two layers."""
        return self.first.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return self.second(self.first(x))


def check_rank(rank: int, full: int) -> None:
    """Raises RecipeError unless `rank` is at least 1 and below `full`, the layer's full rank."""
    if not 1 <= rank < full:
        raise RecipeError(
            f"a rank of {rank} is outside 1 to {full - 1}, the ranks that make this layer smaller."
        )


def _hidden_layer(
    in_features: int, out_features: int, rank: int | None
) -> nn.Linear | LowRankLinear:
    layer: nn.Linear | LowRankLinear
    if rank is None:
        layer = last = nn.Linear(in_features, out_features)
    else:
        layer = low_rank = LowRankLinear(in_features, out_features, rank)
        if _is_real(low_rank.first.weight):
            nn.init.kaiming_normal_(low_rank.first.weight, nonlinearity="linear")
        last = low_rank.second
    if _is_real(last.weight):
        nn.init.kaiming_normal_(last.weight, nonlinearity="relu")
    nn.init.zeros_(last.bias)
    return layer


def _is_real(weight: Tensor) -> bool:
    """False on the meta device, where torch draws normal numbers only with its compiler."""
    return not weight.is_meta
