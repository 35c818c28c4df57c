"""RoI pooling: from a box of any size on the feature map to a grid of fixed size (section 2.1).

Shapes: B images, R RoIs, C channels, a map of H' x W' cells, S x S bins (7 x 7).

Three kinds of pooling, one switch:

* ``paper``: the corners are rounded to the nearest cell, and the cells at both ends belong to the
  box. Bins go from floor to ceil, and each gives its maximum. A bin off the map gives 0. Equal to
  ``torchvision.ops.roi_pool``.
* ``walkthrough``: the first corner is rounded down and the last one up. The crop is then pooled by
  adaptive max-pooling. A box off the map takes the nearest cell.
* ``align``: RoIAlign (He et al. 2017), the mean of 2 x 2 interpolated samples a bin, no rounding.

``paper`` and ``walkthrough``, the maximum kinds, both need the largest value in R S^2 rectangles of
cells. `max_table` finds these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastrcnn.errors import RecipeError
from fastrcnn.model.max_table import rectangle_max
from fastrcnn.runtime.device import is_processor
from fastrcnn.runtime.torchvision_ops import roi_align, roi_pool

Pooling = Literal["paper", "walkthrough", "align"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
ALL_ROIS = 2**31  # as a count: larger than any number of RoIs


class RoIPool(nn.Module):
    """Pools each RoI to `size` x `size` from a map of one cell per `stride` input pixels.

    Raises RecipeError when `pooling` is not ``paper``, ``walkthrough`` or ``align``.
    """

    def __init__(self, pooling: str = "paper", size: int = 7, stride: int = 16) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise RecipeError(f"Unknown RoI pooling {pooling!r}; there are {', '.join(POOLINGS)}.")
        self.pooling = pooling
        self.size = size
        self.stride = stride

    def extra_repr(self) -> str:
        return f"{self.pooling!r}, size={self.size}, stride={self.stride}"

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """(B, C, H', W') and (R, 5) -> (R, C, S, S), in the map's dtype.

        rois: image index, x1, y1, x2, y2 in pixels of the network input. Raises ValueError when
        they have another shape or the index of an image that is not in the batch.
        """
        check_rois(rois, len(features))
        return next(self.parts(features, rois))

    def parts(self, features: Tensor, rois: Tensor, count: int = ALL_ROIS) -> Iterator[Tensor]:
        """The result of `forward`, `count` RoIs at a time, which needs much less memory.

        Yields at least once. 2,000 RoIs pool to 200 MB, and allocating that much takes longer than
        filling it. The RoIs are not checked, because that would mean waiting for a GPU.
        """
        rois = _at_map_precision(rois, features)
        exact, scale = features.to(rois.dtype), 1 / self.stride
        differentiable = torch.is_grad_enabled() and features.requires_grad
        if self.pooling == "align":
            for part in rois.split(count):
                yield roi_align(exact, part, self.size, scale).to(features.dtype)
        elif self.pooling == "paper" and (differentiable or not is_processor(features.device)):
            # torchvision's own function: it has a gradient, and nothing is faster on a GPU.
            for part in rois.split(count):
                yield roi_pool(exact, part, self.size, scale)[0].to(features.dtype)
        elif differentiable:
            for part in rois.split(count):
                yield self.argmax(features, part)[0]
        else:
            ys, xs = self._bins(rois[:, 1:], *features.shape[2:])
            largest, which = rectangle_max(features, rois[:, 0].long(), ys, xs)
            for part in which.split(count):
                pooled = largest.index_select(0, part.flatten())  # (count S S, C)
                yield pooled.view(*part.shape, largest.shape[1]).permute(0, 3, 1, 2)

    def argmax(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Pool, and find the cell that has the maximum of each bin.

        Returns the pooled values (R, C, S, S) and the index of that cell in the flattened map,
        row x W' + column, int64 of the same shape. Among equal values the first in reading order
        counts. It is -1 if the bin is empty. The gradient of a pooled value goes to that cell alone
        (equation 4). Raises ValueError as `forward` does, and for ``align``, which takes no
        maximum.
        """
        check_rois(rois, len(features))
        rois = _at_map_precision(rois, features)
        exact = features.to(rois.dtype)  # PyTorch 2.10 finds the wrong cells of a bfloat16 map
        if self.pooling == "paper":
            largest, where = roi_pool(exact, rois, self.size, 1 / self.stride)
            return largest.to(features.dtype), where.long()
        # The sparse table does not keep which cell had the maximum. A mini-batch has few RoIs, and
        # hardly two of the same size, so pooling one after another is as fast.
        channels, height, width = features.shape[1:]
        pooled = [features.new_zeros(0, channels, self.size, self.size)]
        argmax = [pooled[0].long()]
        cells = torch.cat([rois[:, :1].long(), self.cells(rois[:, 1:], height, width)], dim=1)
        for image, x1, y1, x2, y2 in cells.tolist():
            crop = exact[image, None, :, y1:y2, x1:x2]
            values, places = F.adaptive_max_pool2d(crop, self.size, return_indices=True)
            rows, columns = places // (x2 - x1), places % (x2 - x1)
            pooled.append(values.to(features.dtype))
            argmax.append((rows + y1) * width + columns + x1)
        return torch.cat(pooled), torch.cat(argmax)

    def cells(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """(..., 4) boxes in input pixels -> (..., 4) int64 x1, y1, x2, y2 in cells of the map.

        x2, y2 exclusive. Boxes with equal cells pool to equal values. For ``paper`` the cells may
        lie outside the `height` x `width` map. Raises ValueError for ``align``.
        """
        exact = boxes * (1 / self.stride)
        if self.pooling == "walkthrough":
            x1, y1 = exact[..., :2].floor().long().unbind(-1)
            x2, y2 = exact[..., 2:].ceil().long().unbind(-1)
            low = torch.stack([x1.clamp(0, width - 1), y1.clamp(0, height - 1)], dim=-1)
            high = torch.stack([x2.clamp(max=width), y2.clamp(max=height)], dim=-1)
            high = high.maximum(low + 1)
        elif self.pooling == "paper":
            low = _round_half_away(exact[..., :2])
            high = (_round_half_away(exact[..., 2:]) + 1).maximum(low + 1)
        else:
            raise ValueError("RoIAlign samples between cells; only the maximum kinds have cells.")
        return torch.cat([low, high], dim=-1)

    def bins(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """The cells that each bin covers: (..., 4) boxes -> (..., S, S, 4) int64 x1, y1, x2, y2.

        x2, y2 exclusive. A bin is empty if x1 >= x2 or y1 >= y2. Neighbouring bins share cells when
        a side is not a multiple of S. Boxes should have the dtype of the pooled map, since
        ``paper`` computes its bins in floating point. Raises ValueError for ``align``.
        """
        ys, xs = self._bins(boxes.reshape(-1, 4), height, width)
        count, size = len(ys), self.size
        y1, y2 = ys[:, :, None].expand(count, size, size, 2).unbind(-1)
        x1, x2 = xs[:, None].expand(count, size, size, 2).unbind(-1)
        return torch.stack([x1, y1, x2, y2], dim=-1).view(*boxes.shape[:-1], size, size, 4)

    def _bins(self, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(R, 4) -> the row ranges and the column ranges, each (R, S, 2)."""
        x1, y1, x2, y2 = self.cells(boxes, height, width).unbind(-1)
        sides = ((y1, y2, height), (x1, x2, width))
        rows, columns = (self._split(*side, boxes.dtype) for side in sides)
        return rows, columns

    def _split(self, start: Tensor, end: Tensor, limit: int, dtype: torch.dtype) -> Tensor:
        """Cut cells `start` to `end` into S ranges: floor to ceil, (R,) -> (R, S, 2)."""
        index = torch.arange(self.size, device=start.device)
        length = (end - start)[:, None]
        if self.pooling == "walkthrough":
            low = index * length // self.size
            high = ((index + 1) * length + self.size - 1) // self.size
        else:
            # In floating point, as in the original. There 7 x (57 / 7) is more than 57, so the bin
            # that ends there has one cell more.
            step = length.to(dtype) / self.size
            low = (index * step).floor().long()
            high = ((index + 1) * step).ceil().long()
        ranges = torch.stack([low, high], dim=-1) + start[:, None, None]
        return ranges.clamp(0, limit)


def check_rois(rois: Tensor, images: int) -> None:
    """Raises ValueError unless `rois` is (R, 5) with the index of one of `images` in front."""
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ValueError(f"rois must be (R, 5), image index and corners, not {tuple(rois.shape)}.")
    if len(rois) and not (rois[:, 0].min() >= 0 and rois[:, 0].max() < images):
        raise ValueError(f"Each RoI's image index must be 0 to {images - 1}, one of the batch.")


def _at_map_precision(rois: Tensor, features: Tensor) -> Tensor:
    # Half precision cannot hold pixel coordinates beyond 2048 (bfloat16: 256) exactly.
    return rois.to(torch.float64 if features.dtype == torch.float64 else torch.float32)


def _round_half_away(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero as C does, not to even as torch does."""
    whole = x.trunc()
    return (whole + torch.where((x - whole).abs() >= 0.5, x.sign(), 0)).long()


def roi_pool_reference(
    features: Tensor, rois: Tensor, size: int = 7, scale: float = 1 / 16
) -> Tensor:
    """``paper``, bin by bin. Written to be read; it is slow.

    features (B, C, H', W'), rois (R, 5) of the same dtype -> (R, C, size, size).
    """
    height, width = features.shape[2:]
    pooled = features.new_zeros(len(rois), features.shape[1], size, size)
    for r, roi in enumerate(rois):
        x1, y1, x2, y2 = (_round_half_away(side).item() for side in roi[1:] * scale)
        # A box has at least one cell; its last row and column are part of it.
        bin_width = roi.new_tensor(max(x2 - x1 + 1, 1)) / size
        bin_height = roi.new_tensor(max(y2 - y1 + 1, 1)) / size
        for row in range(size):
            top = y1 + int((row * bin_height).floor())
            bottom = y1 + int(((row + 1) * bin_height).ceil())
            top, bottom = (min(max(y, 0), height) for y in (top, bottom))
            for column in range(size):
                left = x1 + int((column * bin_width).floor())
                right = x1 + int(((column + 1) * bin_width).ceil())
                left, right = (min(max(x, 0), width) for x in (left, right))
                if top < bottom and left < right:
                    window = features[int(roi[0]), :, top:bottom, left:right]
                    pooled[r, :, row, column] = window.amax(dim=(1, 2))
    return pooled


def walkthrough_roi_pool_reference(
    features: Tensor, rois: Tensor, size: int = 7, scale: float = 1 / 16
) -> Tensor:
    """``walkthrough`` as it is taught: crop each RoI, then adaptive max-pooling.

    features (B, C, H', W'), rois (R, 5) of the same dtype -> (R, C, size, size).
    """
    height, width = features.shape[2:]
    pooled = [features.new_zeros(0, features.shape[1], size, size)]
    for roi in rois:
        x1, y1 = (roi[1:3] * scale).floor().long().tolist()
        x2, y2 = (roi[3:] * scale).ceil().long().tolist()
        # At least one cell. If the box lies off the map, it is the nearest one.
        x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        x2, y2 = max(min(x2, width), x1 + 1), max(min(y2, height), y1 + 1)
        crop = features[int(roi[0]), :, y1:y2, x1:x2]
        pooled.append(F.adaptive_max_pool2d(crop[None], size))
    return torch.cat(pooled)
