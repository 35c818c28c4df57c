import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrcnn.training import multi_task_loss, roi_losses, smooth_l1


def test_smooth_l1_by_hand():
    x = torch.tensor([0.0, 0.5, -0.5, 1, -1, 3])
    assert smooth_l1(x).tolist() == [0, 0.125, 0.125, 0.5, 0.5, 2.5]


def test_a_smaller_beta_by_hand():
    x = torch.tensor([0.0, 0.1, -0.2, 0.5, -1])
    assert smooth_l1(x, 0.2).tolist() == pytest.approx([0, 0.025, 0.1, 0.4, 0.9])


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_slope_by_finite_differences(beta: float):
    x = torch.tensor([-2.0, -0.29, 0.1, 0.7, 1.5], dtype=torch.float64, requires_grad=True)
    smooth_l1(x, beta).sum().backward()
    small = 1e-6
    slope = (smooth_l1(x + small, beta) - smooth_l1(x - small, beta)) / (2 * small)
    assert torch.allclose(x.grad, slope.detach(), atol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 0.2])
def test_smooth_l1_and_its_slope_are_torchs(beta: float):
    x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    smooth_l1(x, beta).sum().backward()
    other = x.detach().clone().requires_grad_()
    zeros = torch.zeros_like(other)
    torch.nn.functional.smooth_l1_loss(other, zeros, reduction="sum", beta=beta).backward()
    assert torch.allclose(x.grad, other.grad)
    assert torch.allclose(
        smooth_l1(x, beta),
        torch.nn.functional.smooth_l1_loss(x, zeros, reduction="none", beta=beta),
    )


def test_the_loss_by_hand():
    # Two RoIs, three classes. Even scores cost log 3 each.
    cls_score = torch.zeros(2, 3)
    bbox_pred = torch.zeros(2, 3, 4)
    bbox_pred[0, 2] = torch.tensor([0.5, 0, 2, 0])  # of the labelled class
    bbox_pred[0, 1] = 100.0  # of another class: must not count
    bbox_pred[1] = 100.0  # of a background RoI: must not count
    labels = torch.tensor([2, 0])
    targets = torch.tensor([[0.0, 0, 0, 1], [9, 9, 9, 9]])
    loss = multi_task_loss(cls_score, bbox_pred, labels, targets, loc_weight=2.0)
    assert loss.cls.item() == pytest.approx(math.log(3))
    assert loss.loc.item() == pytest.approx((0.125 + 0 + 1.5 + 0.5) / 2)
    assert loss.total.item() == pytest.approx(math.log(3) + 0.125 + 1.5 + 0.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 5))
def test_the_loss_agrees_with_a_slow_version(seed, rois, classes):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(rois, classes))
    deltas = random.normal(size=(rois, classes, 4)) * 2
    labels = random.integers(0, classes, rois)
    targets = random.normal(size=(rois, 4))
    expected_cls = expected_loc = 0.0
    for score, delta, label, target in zip(scores, deltas, labels, targets, strict=True):
        expected_cls -= math.log(math.exp(score[label]) / sum(math.exp(s) for s in score))
        if label:
            for predicted, wanted in zip(delta[label], target, strict=True):
                x = abs(predicted - wanted)
                expected_loc += 0.5 * x**2 if x < 1 else x - 0.5
    loss = multi_task_loss(*map(torch.from_numpy, (scores, deltas, labels, targets)), 0.7)
    assert loss.cls.item() == pytest.approx(expected_cls / rois)
    assert loss.loc.item() == pytest.approx(expected_loc / rois)
    assert loss.total.item() == pytest.approx((expected_cls + 0.7 * expected_loc) / rois)


def test_the_losses_of_a_roi_have_the_papers_weight_and_beta_unless_told_otherwise():
    bbox_pred = torch.tensor([0.5, 0, 0, 3]).expand(1, 2, 4)
    roi = torch.zeros(1, 2), bbox_pred, torch.tensor([1]), torch.zeros(1, 4)
    for losses in (roi_losses(*roi), multi_task_loss(*roi)):
        assert losses.loc.item() == pytest.approx(0.5 * 0.5**2 + 3 - 0.5)
        assert losses.total.item() == pytest.approx(math.log(2) + losses.loc.item())
    for losses in (roi_losses(*roi, 10, 0.2), multi_task_loss(*roi, 10, 0.2)):
        assert losses.loc.item() == pytest.approx(0.5 - 0.1 + 3 - 0.1)
        assert losses.total.item() == pytest.approx(math.log(2) + 10 * losses.loc.item())


def test_each_roi_costs_what_it_costs_alone():
    random = torch.Generator().manual_seed(0)
    parts = (
        torch.randn(6, 3, generator=random),
        torch.randn(6, 3, 4, generator=random),
        torch.tensor([0, 1, 2, 0, 0, 1]),
        torch.randn(6, 4, generator=random),
    )
    each = roi_losses(*parts, 0.7, 0.4)
    for i, label in enumerate(parts[2]):
        alone = multi_task_loss(*(part[[i]] for part in parts), 0.7, 0.4)
        assert torch.equal(each.predicted[i], parts[1][i, label])
        assert [value[i].item() for value in each[:3]] == pytest.approx([v.item() for v in alone])
    whole = multi_task_loss(*parts, 0.7, 0.4)
    assert [part.item() for part in whole] == pytest.approx([p.mean().item() for p in each[:3]])


def test_unused_rois_cost_nothing_and_are_not_counted():
    cls_score, bbox_pred = torch.randn(3, 4), torch.randn(3, 4, 4)
    labels, targets = torch.tensor([2, -1, 0]), torch.randn(3, 4)
    used = [0, 2]
    loss = multi_task_loss(cls_score, bbox_pred, labels, targets)
    expected = multi_task_loss(cls_score[used], bbox_pred[used], labels[used], targets[used])
    assert [a.item() for a in loss] == pytest.approx([b.item() for b in expected])


def test_nothing_sampled_costs_nothing_and_has_a_gradient():
    cls_score = torch.zeros(0, 3, requires_grad=True)
    bbox_pred = torch.zeros(0, 3, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss = multi_task_loss(cls_score, bbox_pred, none, torch.zeros(0, 4))
    loss.total.backward()
    assert loss.total.item() == 0
    assert cls_score.grad.shape == (0, 3)
