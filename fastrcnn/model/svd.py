"""Truncated SVD: replaces a fully connected layer by two thin ones, to detect faster (section 3.1).

W (u x v) is approximated by U S V^T with the k largest singular values. This takes k (u + v)
multiplications instead of u v. In Fast R-CNN the fully connected layers take nearly half of the
time, since every RoI goes through them.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.fast_rcnn import FastRCNN
from fastrcnn.model.head import LowRankLinear, check_rank


class Factors(NamedTuple):
    """W ~ U S V^T of one layer, the largest singular value first.

    u: (out, rank). svt: (rank, in), S V^T. bias: (out,).
    """

    u: Tensor
    svt: Tensor
    bias: Tensor

    def layer(self, rank: int) -> LowRankLinear:
        """The two layers of a rank up to that of the factors. They share the factors' memory."""
        with torch.device("meta"):
            layer = LowRankLinear(self.svt.shape[1], self.u.shape[0], rank)
        layer.first.weight = nn.Parameter(self.svt[:rank])
        layer.second.weight = nn.Parameter(self.u[:, :rank])
        layer.second.bias = nn.Parameter(self.bias)
        return layer


@torch.no_grad()
def factorise(linear: nn.Linear | LowRankLinear, rank: int) -> Factors:
    """The factors of the `rank` largest singular values.

    A layer that has a low rank already can be reduced further. Raises RecipeError, which names the
    limit, when `rank` is not below the layer's own.
    """
    if isinstance(linear, LowRankLinear):
        weight = linear.second.weight.double() @ linear.first.weight.double()
        bias = linear.second.bias
    else:
        weight = linear.weight.double()
        bias = linear.bias
    check_rank(rank, full_rank(linear))
    # U comes from W W^T, which is much smaller than W in fc6. Then U^T W is S V^T. Squaring W
    # halves the number of exact digits, but double precision has enough of them.
    _, vectors = torch.linalg.eigh(weight @ weight.T)  # ascending
    u = vectors[:, -rank:].flip(1)  # (out, rank)
    return Factors(u.to(bias).contiguous(), (u.T @ weight).to(bias), bias.clone())


def full_rank(linear: nn.Linear | LowRankLinear) -> int:
    """The rank of a layer as it is."""
    if isinstance(linear, LowRankLinear):
        return linear.rank
    return min(linear.weight.shape)


def truncated_svd(linear: nn.Linear | LowRankLinear, rank: int) -> LowRankLinear:
    """The best approximation of `linear` by two layers with `rank` units between them.

    Raises RecipeError as `factorise` does.
    """
    return factorise(linear, rank).layer(rank)


def compress(model: FastRCNN, fc6_rank: int | None, fc7_rank: int | None) -> FastRCNN:
    """A copy of `model` whose fc6 and fc7 have these ranks; None leaves a layer as it is.

    The paper uses 1024 and 256 for layers of 4096. Raises RecipeError, which names the layer and
    its limit, when a rank is too large.
    """
    compressed = copy.deepcopy(model)
    for layer, rank in (("fc6", fc6_rank), ("fc7", fc7_rank)):
        if rank is not None:
            try:
                low_rank = truncated_svd(getattr(model.head, layer), rank)
            except RecipeError as error:
                raise RecipeError(f"{layer} cannot be compressed: {error}") from error
            setattr(compressed.head, layer, low_rank)
            compressed.config = compressed.config.but(**{f"{layer}_rank": rank})
    return compressed.train(model.training)


class HeadFactors(NamedTuple):
    """The factors of fc6 and fc7, for networks of any lower rank."""

    fc6: Factors
    fc7: Factors

    @classmethod
    def of(cls, model: FastRCNN) -> HeadFactors:
        """The factors of a network's two layers, of all ranks below their own.

        Raises RecipeError for a layer of rank 1, which cannot be reduced.
        """
        return cls(
            *(factorise(layer, full_rank(layer) - 1) for layer in (model.head.fc6, model.head.fc7))
        )

    def network(self, model: FastRCNN, fc6_rank: int | None, fc7_rank: int | None) -> FastRCNN:
        """What `compress` gives, at once: it shares the weights of `model` and of the factors.

        For inference. The factors must be those of `model`.
        """
        ranks = {"fc6": fc6_rank, "fc7": fc7_rank}
        given = {f"{layer}_rank": rank for layer, rank in ranks.items() if rank is not None}
        with torch.device("meta"):
            network = FastRCNN(model.config.but(**given), model.backbone)
        for name, part in model.head.named_children():
            rank = ranks.get(name)
            setattr(network.head, name, part if rank is None else getattr(self, name).layer(rank))
        network.head.bbox_mean, network.head.bbox_std = model.head.bbox_mean, model.head.bbox_std
        return network.eval()


def multiply_adds(layer: nn.Linear | LowRankLinear) -> int:
    """How many multiplications, each with an addition, a layer takes for one RoI."""
    if isinstance(layer, LowRankLinear):
        return multiply_adds(layer.first) + multiply_adds(layer.second)
    return layer.in_features * layer.out_features


def multiply_adds_undivided(layer: nn.Linear | LowRankLinear) -> int:
    """The same for the one layer that the two of a `LowRankLinear` stand for."""
    if isinstance(layer, LowRankLinear):
        return layer.first.in_features * layer.second.out_features
    return multiply_adds(layer)
