"""Truncated SVD: replaces a fully connected layer by two thin ones, to detect faster (section 3.1).

W (u x v) is approximated by U S V^T with the k largest singular values. This takes k (u + v)
multiplications instead of u v. In Fast R-CNN the fully connected layers take nearly half of the
time, since every RoI goes through them.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.fast_rcnn import FastRCNN
from fastrcnn.model.head import LowRankLinear, check_rank


@torch.no_grad()
def truncated_svd(linear: nn.Linear | LowRankLinear, rank: int) -> LowRankLinear:
    """The best approximation of `linear` by two layers with `rank` units between them.

    A layer that has a low rank already can be reduced further. Raises RecipeError, which names the
    limit, when `rank` is not below the layer's own.
    """
    if isinstance(linear, LowRankLinear):
        weight = linear.second.weight.double() @ linear.first.weight.double()
        bias, full = linear.second.bias, linear.rank
    else:
        weight = linear.weight.double()
        bias, full = linear.bias, min(linear.weight.shape)
    check_rank(rank, full)
    # U comes from W W^T, which is much smaller than W in fc6. Then U^T W is S V^T. Squaring W
    # halves the number of exact digits, but double precision has enough of them.
    _, vectors = torch.linalg.eigh(weight @ weight.T)  # ascending
    u = vectors[:, -rank:].flip(1)  # (out, rank)
    low_rank = LowRankLinear(weight.shape[1], weight.shape[0], rank).to(bias)
    low_rank.first.weight.copy_(u.T @ weight)
    low_rank.second.weight.copy_(u)
    low_rank.second.bias.copy_(bias)
    return low_rank


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
