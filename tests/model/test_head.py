"""The layers that every RoI goes through."""

from __future__ import annotations

import math

import pytest
import torch

from fastrcnn.errors import RecipeError
from fastrcnn.model.head import Head, LowRankLinear


def test_outputs_have_the_papers_shapes_and_layers_its_names():
    head = Head(8, 7, 32, 16, 5)
    scores, deltas = head(torch.rand(3, 8, 7, 7))
    assert scores.shape == (3, 5)
    assert deltas.shape == (3, 5, 4)
    assert set(head.state_dict()) == {
        *(f"{layer}.{part}" for layer in ("fc6", "fc7") for part in ("weight", "bias")),
        *(f"{layer}.{part}" for layer in ("cls_score", "bbox_pred") for part in ("weight", "bias")),
        "bbox_mean",
        "bbox_std",
    }


def test_without_rois_there_are_no_scores():
    scores, deltas = Head(8, 7, 32, 16, 5)(torch.rand(0, 8, 7, 7))
    assert scores.shape == (0, 5)
    assert deltas.shape == (0, 5, 4)


def test_initial_values_are_the_papers():
    torch.manual_seed(0)
    head = Head(64, 7, 512, 512, 21)
    for layer, std in (("cls_score", 0.01), ("bbox_pred", 0.001)):
        weight = getattr(head, layer).weight
        assert weight.std().item() == pytest.approx(std, rel=0.05)
        assert abs(weight.mean().item()) < std / 10
    for layer, inputs in (("fc6", 64 * 49), ("fc7", 512)):
        weight = getattr(head, layer).weight
        assert weight.std().item() == pytest.approx(math.sqrt(2 / inputs), rel=0.05)
    for name, parameter in head.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()


def test_number_of_parameters_is_the_papers():
    """VGG16 with 21 classes: fc6 25088 -> 4096, fc7 4096 -> 4096, then 21 and 84 outputs."""
    with torch.device("meta"):
        head = Head(512, 7, 4096, 4096, 21)
        compressed = Head(512, 7, 4096, 4096, 21, fc6_rank=1024, fc7_rank=256)

    def count(module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(head.fc6) == 25088 * 4096 + 4096
    assert count(head.fc7) == 4096 * 4096 + 4096
    assert count(head.cls_score) == 4096 * 21 + 21
    assert count(head.bbox_pred) == 4096 * 84 + 84
    # Section 3.1: k (u + v) weights instead of u v.
    assert count(compressed.fc6) == 1024 * (25088 + 4096) + 4096
    assert count(compressed.fc7) == 256 * (4096 + 4096) + 4096


def test_low_rank_layers_start_at_the_scale_of_whole_ones():
    torch.manual_seed(0)
    pooled = torch.rand(16, 16, 7, 7)
    whole, low_rank = Head(16, 7, 512, 512, 5), Head(16, 7, 512, 512, 5, fc6_rank=128, fc7_rank=64)
    assert isinstance(low_rank.fc6, LowRankLinear)
    assert isinstance(low_rank.fc7, LowRankLinear)
    x = pooled.flatten(1)
    ratio = low_rank.fc6(x).std() / whole.fc6(x).std()
    assert 0.7 < ratio < 1.4


def test_refuses_a_rank_too_large():
    with pytest.raises(RecipeError, match="1 to 31"):
        Head(8, 7, 32, 16, 5, fc6_rank=32)


def test_divisor_scales_what_comes_in():
    pooled = torch.rand(3, 8, 7, 7)
    head = Head(8, 7, 32, 16, 5, divisor=10).eval()
    same = Head(8, 7, 32, 16, 5).eval()
    same.load_state_dict(head.state_dict())
    torch.testing.assert_close(head(pooled), same(pooled / 10))


def test_dropout_only_in_training():
    head = Head(8, 7, 32, 16, 5, dropout=0.5)
    pooled = torch.rand(3, 8, 7, 7)
    assert not torch.equal(head(pooled)[0], head(pooled)[0])
    head.eval()
    assert torch.equal(head(pooled)[0], head(pooled)[0])


@pytest.mark.parametrize("rank", [None, 6])
def test_fc6_reads_rois_whose_channels_come_last(rank):
    head = Head(8, 7, 32, 16, 5, fc6_rank=rank, divisor=10).eval()
    pooled = torch.rand(3, 7, 7, 8).permute(0, 3, 1, 2)
    fc6 = head.fc6_channels_last(8, torch.float32)
    torch.testing.assert_close(head(pooled, fc6), head(pooled))


def test_the_last_layers_are_never_rounded():
    head = Head(8, 7, 32, 16, 5).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores, deltas = head(torch.rand(3, 8, 7, 7))
    assert scores.dtype == deltas.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


def test_deltas_undo_the_normalisation():
    head = Head(8, 7, 32, 16, 5)
    bbox_pred = torch.randn(3, 5, 4)
    assert torch.equal(head.deltas(bbox_pred), bbox_pred)
    head.bbox_mean.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    head.bbox_std.copy_(torch.tensor([1.0, 0.5, 0.1, 0.2]))
    deltas = head.deltas(bbox_pred)
    torch.testing.assert_close(deltas[..., 0], bbox_pred[..., 0])
    torch.testing.assert_close(deltas[..., 3], bbox_pred[..., 3] * 0.2 + 3)


def test_a_trained_head_gives_the_same_deltas_with_other_statistics():
    torch.manual_seed(0)
    head = Head(8, 7, 32, 16, 5).eval()
    torch.nn.init.normal_(head.bbox_pred.weight)
    torch.nn.init.normal_(head.bbox_pred.bias)
    pooled = torch.rand(6, 8, 7, 7)
    before = head.deltas(head(pooled)[1])
    for mean, std in (([0.1, -0.2, 0, 0.3], [0.1, 0.2, 0.3, 0.4]), ([0.0] * 4, [1.0] * 4)):
        head.normalise(torch.tensor(mean), torch.tensor(std))
        assert head.bbox_mean.tolist() == pytest.approx(mean)
        assert head.bbox_std.tolist() == pytest.approx(std)
        torch.testing.assert_close(head.deltas(head(pooled)[1]), before)


def test_statistics_leave_a_head_that_has_not_learned_as_it_is():
    head = Head(8, 7, 32, 16, 5)
    weight = head.bbox_pred.weight.clone()
    head.normalise(torch.full((4,), 0.5), torch.full((4,), 0.1))
    assert torch.equal(head.bbox_pred.weight, weight)
    assert not head.bbox_pred.bias.any()
