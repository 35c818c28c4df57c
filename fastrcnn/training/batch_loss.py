"""The loss of a mini-batch, whose pictures all go through the network together.

Shapes: B pictures, R RoIs, n candidates a picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fastrcnn.model import FastRCNN
from fastrcnn.model.backbone import join_maps
from fastrcnn.runtime.precision import autocast
from fastrcnn.training.batches import Batch
from fastrcnn.training.hard_examples import hardest_rois
from fastrcnn.training.loss import RoILosses, roi_losses
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.targets import IGNORED


class BatchSums(NamedTuple):
    """Sums over the RoIs that the network learns from; scalars on the device.

    total: the loss to differentiate. foreground, background: the number of RoIs of each kind.
    rows: (R, 10), for each of these RoIs its class loss, its box loss, the 4 predicted numbers and
    the 4 targets of its class, normalised; without a gradient. chosen, found: the result of
    `hardest_rois` if hard examples are used, else None.
    """

    total: Tensor
    cls: Tensor
    loc: Tensor
    foreground: Tensor
    background: Tensor
    rows: Tensor
    chosen: Tensor | None
    found: Tensor | None


class BatchLoss(nn.Module):
    """A model and its loss, whose `forward` takes one mini-batch.

    It reads nothing from the device, unless ``walkthrough`` pools, one RoI after another.
    start: the layer whose activations a batch holds; None if it holds pictures.
    """

    def __init__(self, model: FastRCNN, recipe: Recipe, start: str | None) -> None:
        super().__init__()
        self.model = model
        self.loc_weight = recipe.loc_weight if recipe.bbox_reg else 0.0
        self._beta = recipe.smooth_l1_beta
        self._precision = recipe.precision
        self._start = start
        self._hardest = recipe.rois_per_picture if recipe.candidates else None

    def forward(self, batch: Batch) -> BatchSums:
        """The losses of a batch that is on the model's device.

        In training with hard examples, only the hardest candidates of each picture count. They
        are chosen with dropout on, as the network is in training.
        """
        with autocast(self._precision, batch.rois.device):
            maps = self._maps(batch)
        rois, labels, deltas = batch.rois, batch.labels, batch.deltas
        counts: tuple[int, ...] = batch.counts
        chosen = found = None
        if self._hardest is not None and self.training and any(counts):
            padded = [
                pad_sequence(list(part.split(counts)), batch_first=True, padding_value=filling)
                for part, filling in ((rois, 0), (labels, IGNORED), (deltas, 0))
            ]
            with torch.no_grad():
                costs = self._losses(maps, rois, counts, labels, deltas)[0].total
            filled = list(costs.split(counts))
            table = pad_sequence(filled, batch_first=True, padding_value=-torch.inf)
            chosen, found = hardest_rois(table, padded[0], self._hardest)
            rois, labels, deltas = (_rows(part, chosen) for part in padded)
            labels = torch.where(found.flatten(), labels, IGNORED)
            counts = (self._hardest,) * len(counts)
        losses, targets = self._losses(maps, rois, counts, labels, deltas)
        numbers = losses.cls[:, None], losses.loc[:, None], losses.predicted, targets
        return BatchSums(
            losses.total.sum(),
            losses.cls.sum(),
            losses.loc.sum(),
            foreground=(labels > 0).sum(),
            background=(labels == 0).sum(),
            rows=torch.cat([part.detach() for part in numbers], dim=1),
            chosen=chosen,
            found=found,
        )

    def _maps(self, batch: Batch) -> Tensor:
        """The backbone's maps (B, C, H', W')."""
        images = self._images(batch)
        if batch.sizes is None:
            return self._convolve(images)
        if self.model.backbone.pads:
            return self._convolve(images, batch.size_table)
        sized = zip(images.split(1), batch.sizes, strict=True)
        return join_maps([self._convolve(one[:, :, :h, :w]) for one, (h, w) in sized])

    def _convolve(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        """`x` after all layers. The frozen ones below run without a gradient graph."""
        backbone = self.model.backbone
        frozen = backbone.last_frozen()
        if frozen is not None and frozen != self._start:
            with torch.no_grad():
                x = backbone(x, start=self._start, stop=frozen, sizes=sizes)
            if sizes is not None:
                sizes = sizes // backbone.stride_after(frozen)
        return backbone(x, start=frozen, sizes=sizes)

    def _images(self, batch: Batch) -> Tensor:
        """The network's input: (B, 3, H, W) or maps, float32, channels last in memory."""
        if batch.places is None:
            return batch.images.float()
        height, width = batch.images.shape[1:3]
        x1, y1, x2, y2 = batch.places[:, :, None].unbind(1)  # (B, 1)
        rows = torch.arange(height, device=batch.images.device)
        columns = torch.arange(width, device=batch.images.device)
        inside = ((rows >= y1) & (rows < y2))[:, :, None] & ((columns >= x1) & (columns < x2))[
            :, None
        ]
        # 0 is the mean colour, and the value that a convolution sees beyond a border.
        return self.model.backbone.normalise(batch.images) * inside[:, None]

    def _losses(
        self, maps: Tensor, rois: Tensor, counts: tuple[int, ...], labels: Tensor, deltas: Tensor
    ) -> tuple[RoILosses, Tensor]:
        """The losses of each RoI, and the normalised box targets (R, 4)."""
        head = self.model.head
        with autocast(self._precision, rois.device):
            cls_score, bbox_pred = self.model(
                maps, list(rois.split(counts)), start=self.model.backbone.layers[-1]
            )
        targets = (deltas - head.bbox_mean) / head.bbox_std
        losses = roi_losses(cls_score, bbox_pred, labels, targets, self.loc_weight, self._beta)
        return losses, targets


def _rows(table: Tensor, chosen: Tensor) -> Tensor:
    """(B, n, ...) and indices (B, m) -> (B m, ...)."""
    rows = torch.arange(len(table), device=table.device)[:, None]
    return table[rows, chosen].flatten(0, 1)
