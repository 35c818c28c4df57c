"""Truncated SVD of fully connected layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.head import LowRankLinear
from fastrcnn.model.svd import (
    HeadFactors,
    compress,
    multiply_adds,
    multiply_adds_undivided,
    truncated_svd,
)
from tests.model.tiny import tiny_model


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (16, 16)])
@pytest.mark.parametrize("rank", [1, 5, 11])
def test_is_the_best_approximation_of_its_rank(shape, rank):
    linear = nn.Linear(*shape)
    low_rank = truncated_svd(linear, rank)
    u, s, vh = torch.linalg.svd(linear.weight.detach(), full_matrices=False)
    best = (u[:, :rank] * s[:rank]) @ vh[:rank]
    torch.testing.assert_close(low_rank.second.weight @ low_rank.first.weight, best)


def test_is_laid_out_as_in_the_paper():
    linear = nn.Linear(30, 12)
    low_rank = truncated_svd(linear, 4)
    assert low_rank.first.bias is None
    assert torch.equal(low_rank.second.bias, linear.bias)
    assert low_rank.first.weight.shape == (4, 30)  # S V^T: orthogonal rows, as long as S
    assert low_rank.second.weight.shape == (12, 4)  # U: orthonormal columns
    u = low_rank.second.weight
    torch.testing.assert_close(u.T @ u, torch.eye(4))
    lengths = low_rank.first.weight.norm(dim=1)
    torch.testing.assert_close(lengths, torch.linalg.svdvals(linear.weight)[:4])


def test_a_layer_of_that_rank_is_unchanged():
    linear = nn.Linear(30, 12)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(12, 3) @ torch.randn(3, 30))
    x = torch.randn(6, 30)
    torch.testing.assert_close(truncated_svd(linear, 3)(x), linear(x), rtol=1e-4, atol=1e-4)


def test_cutting_twice_is_cutting_once():
    linear = nn.Linear(30, 12)
    twice = truncated_svd(truncated_svd(linear, 8), 3)
    once = truncated_svd(linear, 3)
    x = torch.randn(6, 30)
    torch.testing.assert_close(twice(x), once(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [12, 13, 0, -1])
def test_refuses_ranks_that_save_nothing(rank):
    with pytest.raises(RecipeError, match="1 to 11"):
        truncated_svd(nn.Linear(30, 12), rank)
    with pytest.raises(RecipeError, match="1 to 11"):
        LowRankLinear(30, 12, rank)


def test_refuses_to_raise_the_rank_of_a_low_rank_layer():
    with pytest.raises(RecipeError, match="1 to 3"):
        truncated_svd(LowRankLinear(30, 12, 4), 4)


@pytest.mark.parametrize("ranks", [(5, 3), (None, 1), (23, None), (None, None)])
def test_factors_give_at_once_the_network_that_compress_gives(ranks):
    model = tiny_model().eval()
    network = HeadFactors.of(model).network(model, *ranks)
    expected = compress(model, *ranks)
    assert network.config == expected.config
    pooled = torch.randn(4, 8, 7, 7)
    with torch.no_grad():
        for own, reference in zip(network.head(pooled), expected.head(pooled), strict=True):
            torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-4)
    assert network.backbone is model.backbone
    assert torch.equal(network.head.bbox_std, model.head.bbox_std)


def test_factors_name_the_limit_of_a_rank():
    model = tiny_model()
    with pytest.raises(RecipeError, match="1 to 23"):
        HeadFactors.of(model).network(model, 24, None)


def test_multiply_adds_are_counted_by_hand():
    whole, thin = nn.Linear(30, 12), LowRankLinear(30, 12, 4)
    assert multiply_adds(whole) == multiply_adds_undivided(whole) == 360
    assert multiply_adds(thin) == 30 * 4 + 4 * 12
    assert multiply_adds_undivided(thin) == 360
