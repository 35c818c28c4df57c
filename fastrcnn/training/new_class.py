"""Teaches a detector one more class from a few pictures, in seconds on a processor.

Only the class's own rows of the last two layers learn, one of cls_score and four of bbox_pred. All
other weights stay as they are. So the way of each proposal up to these layers is computed once, and
the old classes keep their scores, except for the share that the new class takes from all of them.

K classes with background at 0, the new one included; R proposals of all pictures together; G
objects of a picture; F units of fc7.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastrcnn.detector import Trace
from fastrcnn.errors import DataError, RecipeError
from fastrcnn.model import FastRCNN
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.training.loss import roi_losses
from fastrcnn.training.optimizer import build_optimizer
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.targets import label_proposals

NEW_CLASS = Recipe(
    bg_iou_low=0.0,
    optimizer="adamw",
    lr=0.005,
    weight_decay=0.1,
    bias_lr_factor=1.0,
    schedule="one_cycle",
    lr_steps=(),
    iterations=200,
)
"""Background is taken from everywhere, since nothing else in the pictures is annotated. Nothing is
sampled: each step uses all proposals, and each counts the same. If the few of foreground counted
more, the hard ones of background could not outweigh them and would be found as the new class. With
all of them in each step no search for hard negatives is needed."""


class Taught(NamedTuple):
    """A picture to learn from: its trace, and its objects of the new class, (G, 4) in its pixels.

    The network that is taught must have made the trace. Of several scales the first one is used.
    """

    trace: Trace
    objects: Tensor


@dataclass(frozen=True)
class NewClassStep:
    """One step was learned. The numbers are those before it.

    loss, loss_cls, loss_loc: the means of all proposals. object_score: the mean
    probability of the new class on the objects' own boxes. background_score: the largest one on a
    background box.
    """

    iteration: int
    iterations: int
    loss: float
    loss_cls: float
    loss_loc: float
    object_score: float
    background_score: float


def with_new_class(model: FastRCNN, name: str) -> FastRCNN:
    """A network that also knows the class `name`, with rows of zeros for it.

    It has all tensors but those of the last two layers in common with `model`. Raises RecipeError
    if the name is empty or that of a class.
    """
    config = model.config.but(classes=(*model.config.classes, name))
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    wider = copy.deepcopy(model, shared)  # what is in the second argument is not copied
    wider.config = config
    wider.head.cls_score = _with_rows(model.head.cls_score, 1)
    wider.head.bbox_pred = _with_rows(model.head.bbox_pred, 4)
    return wider.eval()


def _with_rows(layer: nn.Linear, count: int) -> nn.Linear:
    """The layer with `count` more outputs, which are 0."""
    old = layer.out_features
    wider = nn.Linear(layer.in_features, old + count, device=layer.weight.device)
    for own, before in ((wider.weight, layer.weight), (wider.bias, layer.bias)):
        own.requires_grad_(False).zero_()
        own[:old] = before
    return wider


class _Proposals(NamedTuple):
    """All proposals of all pictures, and each object's own box.

    hidden: (R, F), the outputs of fc7. scores: (R, K - 1), cls_score of the old classes. labels:
    (R,). targets: (R, 4), normalised. is_object: (R,) bool, the objects' own boxes.
    """

    hidden: Tensor
    scores: Tensor
    labels: Tensor
    targets: Tensor
    is_object: Tensor


def learn_new_class(
    model: FastRCNN, pictures: Sequence[Taught], recipe: Recipe = NEW_CLASS
) -> Iterator[NewClassStep]:
    """Train the last class of `model`, which `with_new_class` made, and give a record of each step.

    The rows are put into the model after the last step. Raises DataError if the pictures have no
    object, RecipeError if the loss is no longer finite.
    """
    if not any(len(taught.objects) for taught in pictures):
        raise DataError("There is nothing to learn from; draw a box around at least one object.")
    with torch.no_grad():
        parts = [_proposals(model, taught, recipe) for taught in pictures]
        proposals = _Proposals(*(torch.cat(part) for part in zip(*parts, strict=True)))
    score = nn.Linear(proposals.hidden.shape[1], 1, device=proposals.hidden.device)
    box = nn.Linear(proposals.hidden.shape[1], 4, device=proposals.hidden.device)
    rows = {
        f"{layer}.{name}": parameter
        for layer, own in (("cls_score", score), ("bbox_pred", box))
        for name, parameter in own.named_parameters()
    }
    for parameter in rows.values():
        nn.init.zeros_(parameter)
    optimizer = build_optimizer(recipe, rows)
    iterations = recipe.iterations or 0
    for iteration in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(iteration, iterations)
        total, step = _losses(score, box, proposals, recipe, iteration, iterations)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        yield step
    for layer, own in ((model.head.cls_score, score), (model.head.bbox_pred, box)):
        layer.weight[-own.out_features :] = own.weight.detach()
        layer.bias[-own.out_features :] = own.bias.detach()


def _proposals(model: FastRCNN, taught: Taught, recipe: Recipe) -> _Proposals:
    """The proposals of one picture, its objects' own boxes first."""
    trace, objects = taught.trace, taught.objects.float()
    boxes = torch.cat([objects, trace.boxes])
    names = torch.full((len(objects),), len(model.config.classes))
    thresholds = recipe.fg_iou, recipe.bg_iou_low, recipe.bg_iou_high
    targets = label_proposals(boxes, objects, names, *thresholds)
    device = model.head.bbox_mean.device
    features = trace.features[:1].to(device)
    scaled = (boxes * torch.tensor(trace.scale * 2)).to(device)
    hidden = model.fc7(features, with_image_index([scaled], features))
    return _Proposals(
        hidden=hidden,
        scores=model.head.outputs(hidden)[0][:, :-1],
        labels=targets.labels.to(device),
        targets=(targets.deltas.to(device) - model.head.bbox_mean) / model.head.bbox_std,
        is_object=torch.arange(len(boxes), device=device) < len(objects),
    )


def _losses(
    score: nn.Linear,
    box: nn.Linear,
    proposals: _Proposals,
    recipe: Recipe,
    iteration: int,
    iterations: int,
) -> tuple[Tensor, NewClassStep]:
    """The loss to differentiate, and the record of the step."""
    scores = torch.cat([proposals.scores, score(proposals.hidden)], dim=1)  # (R, K)
    predicted = box(proposals.hidden)[:, None].expand(-1, scores.shape[1], -1)
    # All foreground is of the new class, so no other class's box numbers are read.
    losses = roi_losses(
        scores,
        predicted,
        proposals.labels,
        proposals.targets,
        recipe.loc_weight,
        recipe.smooth_l1_beta,
    )
    total = losses.total.mean()
    background = proposals.labels == 0
    own = scores.detach().softmax(dim=1)[:, -1]
    values = torch.stack(
        [
            *(part.detach().mean() for part in (losses.total, losses.cls, losses.loc)),
            own[proposals.is_object].mean(),
            own[background].max() if background.any() else own.new_zeros(()),
        ]
    ).tolist()
    if not total.isfinite():
        raise RecipeError(f"The loss is {total} after {iteration} steps; lower lr.")
    return total, NewClassStep(iteration + 1, iterations, *values)
