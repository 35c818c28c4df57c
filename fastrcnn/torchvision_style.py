"""A detector that is called as torchvision's detectors are, for code that was written for those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastrcnn.detector import Detector
from fastrcnn.errors import DataError, ImageError, RecipeError
from fastrcnn.model.backbone import join_maps
from fastrcnn.model.pyramid import to_input
from fastrcnn.postprocess import Selection
from fastrcnn.proposals import SelectiveSearch, selective_search
from fastrcnn.training.loss import multi_task_loss
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.recipes import PAPER
from fastrcnn.training.sampling import sample_rois
from fastrcnn.training.targets import Targets, label_proposals

_SCORE_THRESHOLD = 0.05  # torchvision's own


class TorchvisionStyle(nn.Module):
    """In training mode a dictionary of losses, in evaluation mode a list of detections.

    Call it with images, a list of (3, H, W) float tensors, RGB from 0 to 1, of any sizes, and in
    training with targets too. A target is a dictionary of an image's "boxes" (N, 4), x1 y1 x2 y2 in
    its pixels, and "labels" (N,) int64, from 1. The losses are "loss_classifier" and
    "loss_box_reg", scalars to add up. Each image's detections are "boxes" (D, 4), "labels" (D,)
    and "scores" (D,), best first, on the image's device.

    detector: its network is trained, and its search proposes the boxes. recipe: says which layers
    learn, which RoIs are sampled and how the losses are weighed; its other settings are the
    caller's business. Hard examples are not chosen here. The targets are normalised by the
    statistics that the head holds: 0 and 1 in a new one, until `Head.normalise` sets others.
    selection: fields of `Selection`, which says what becomes a detection. Its score_threshold is
    0.05 by default, as in torchvision. Raises RecipeError, and when called ImageError or DataError
    for images or targets of another form.
    """

    def __init__(self, detector: Detector, recipe: Recipe = PAPER, **selection: Any) -> None:
        super().__init__()
        if recipe.candidates:
            raise RecipeError(
                "Hard examples are not chosen here; set foreground_candidates and "
                "background_candidates to 0."
            )
        detector.model.freeze(recipe.first_trainable)
        if not recipe.bbox_reg:
            detector.model.head.bbox_pred.requires_grad_(False)
        self.model = detector.model
        self._detector = detector
        self._recipe = recipe
        self._selection = Selection(**{"score_threshold": _SCORE_THRESHOLD} | selection)
        self.train()  # as every new module is

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """The losses or the detections of these images; see the class."""
        pictures = [_picture(image) for image in images]
        if self.training:
            if not pictures or targets is None or len(targets) != len(pictures):
                raise DataError("In training mode, give images, and a target for each image.")
            return self._losses(pictures, targets)
        return [
            self._detections(picture, image.device)
            for picture, image in zip(pictures, images, strict=True)
        ]

    def _losses(
        self, pictures: Sequence[np.ndarray], targets: Sequence[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        backbone, head, recipe = self.model.backbone, self.model.head, self._recipe
        device = self._detector.device
        maps, rois, labels, deltas = [], [], [], []
        for picture, target in zip(pictures, targets, strict=True):
            resized, scale = self.model.config.resize.resize(picture)
            maps.append(backbone(backbone.preprocess(resized)))
            boxes, found = self._sampled(picture, target)
            rois.append(to_input(boxes, scale).to(device))
            labels.append(found.labels)
            deltas.append(found.deltas)
        cls_score, bbox_pred = self.model(join_maps(maps), rois, start=backbone.layers[-1])
        classes = torch.cat(labels).to(device)
        normalised = (torch.cat(deltas).to(device) - head.bbox_mean) / head.bbox_std
        beta = recipe.smooth_l1_beta
        loss = multi_task_loss(cls_score, bbox_pred, classes, normalised, beta=beta)
        loc_weight = recipe.loc_weight if recipe.bbox_reg else 0.0
        return {"loss_classifier": loss.cls, "loss_box_reg": loc_weight * loss.loc}

    def _sampled(self, picture: np.ndarray, target: dict[str, Tensor]) -> tuple[Tensor, Targets]:
        """The RoIs (r, 4) of a picture, in its pixels, and the targets of each."""
        recipe, search = self._recipe, self._detector.search
        objects, classes = _objects(target, len(self._detector.classes))
        if isinstance(search, str | SelectiveSearch):
            proposals = selective_search(picture, search).boxes
        else:
            proposals = search(picture)
        boxes = torch.from_numpy(np.asarray(proposals, np.float32)[: recipe.max_proposals])
        if recipe.add_ground_truth:
            boxes = torch.cat([objects, boxes])
        limits = recipe.fg_iou, recipe.bg_iou_low, recipe.bg_iou_high
        found = label_proposals(boxes, objects, classes, *limits)
        # Drawn from torch's random numbers, which its users seed.
        draw = np.random.default_rng(int(torch.randint(2**31, ())))
        count, share = recipe.rois_per_picture, recipe.fg_fraction
        chosen = sample_rois(found.labels, count, share, draw, recipe.replacement)
        return boxes[chosen], Targets(*(part[chosen] for part in found))

    def _detections(self, picture: np.ndarray, device: torch.device) -> dict[str, Tensor]:
        found = self._detector(picture, **dict(self._selection))
        parts = {"boxes": found.boxes, "labels": found.labels, "scores": found.scores}
        return {name: torch.from_numpy(part).to(device) for name, part in parts.items()}


def _objects(target: dict[str, Tensor], classes: int) -> tuple[Tensor, Tensor]:
    """A target's boxes (N, 4) and labels (N,), on the processor. Raises DataError."""
    boxes, labels = target.get("boxes"), target.get("labels")
    if not (
        isinstance(boxes, Tensor)
        and isinstance(labels, Tensor)
        and boxes.ndim == 2
        and boxes.shape[1] == 4
        and labels.shape == boxes.shape[:1]
    ):
        raise DataError('A target must have tensors "boxes" (N, 4) and "labels" (N,).')
    boxes, labels = boxes.float().cpu(), labels.cpu()
    if not (boxes[:, :2] < boxes[:, 2:]).all():
        raise DataError("A target's boxes must be x1 y1 x2 y2, with x1 < x2 and y1 < y2.")
    if not ((labels >= 1) & (labels <= classes)).all():
        raise DataError(f"A target's labels must be 1 to {classes}, the detector's classes.")
    return boxes, labels


def _picture(image: Tensor) -> np.ndarray:
    """(3, H, W) floats from 0 to 1 -> (H, W, 3) uint8."""
    if image.ndim != 3 or len(image) != 3 or not image.is_floating_point():
        raise ImageError("Each image must be a (3, H, W) tensor of floats from 0 to 1.")
    pixels = (image.detach() * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(1, 2, 0).cpu().numpy()
