"""The gradient at one RoI, held to autograd through the whole second half of the network."""

from __future__ import annotations

import pytest
import torch

from fastrcnn.boxes import encode
from fastrcnn.explanations.gradient import box_gradient, through_winners
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.training.loss import multi_task_loss
from tests.explanations.conftest import BOXES

TRUE_BOX = torch.tensor([8.0, 4, 57, 51])


@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize("index", range(len(BOXES)))
def test_equals_autograd_through_pooling_and_head(detector, trace, index, label):
    model = detector.model
    seen = detector.inspect(trace, trace.boxes[index])
    found = box_gradient(detector, trace, seen, label, TRUE_BOX)
    assert all(weight.grad is None for weight in model.parameters())

    features = trace.features.clone().requires_grad_()
    box = trace.boxes[index].clone()[None]
    rois = with_image_index([box * torch.tensor(trace.scale * 2)], features)
    cls_score, bbox_pred = model.score_rois(features, rois)
    deltas = encode(box, TRUE_BOX[None])
    target = (deltas - model.head.bbox_mean) / model.head.bbox_std
    loss = multi_task_loss(cls_score, bbox_pred, torch.tensor([label]), target)
    (expected_cells,) = torch.autograd.grad(loss.total, features)

    assert expected_cells.abs().max() > 0
    torch.testing.assert_close(found.cells, expected_cells[0], rtol=1e-4, atol=1e-6)
    for own, expected in zip(found.loss, loss, strict=True):
        torch.testing.assert_close(own, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.predicted, bbox_pred.detach()[0, label], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.target, target[0])


def test_other_poolings_than_the_networks_own_have_their_gradient_too(detector, trace):
    for pooling in ("paper", "walkthrough", "align"):
        seen = detector.inspect(trace, trace.boxes[0], pooling)
        found = box_gradient(detector, trace, seen, 1, TRUE_BOX)
        # Whatever the way, all that the bins hand down arrives: no bin of this box is empty.
        torch.testing.assert_close(
            found.cells.sum(dim=(1, 2)), found.bins.sum(dim=(1, 2)), rtol=1e-4, atol=1e-5
        )


def test_a_cell_adds_up_its_bins_and_an_empty_bin_gives_nothing():
    bins = torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    argmax = torch.tensor([[[4, 4], [-1, 0]]])
    cells = through_winners(bins, argmax, (1, 2, 3))
    assert cells.tolist() == [[[8, 0, 0], [0, 3, 0]]]
