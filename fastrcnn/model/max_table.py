"""The largest value in each of many rectangles of a feature map.

Shapes: B images, R RoIs, C channels, a map of H' x W' cells, S x S bins (7 x 7).

Both maximum kinds of RoI pooling need R S^2 such maxima. They come from a sparse table, which holds
the maxima of all windows whose sides are powers of two. At most four such windows cover any
rectangle. They may overlap, which does not change a maximum. This is faster than one pass per RoI,
because the bins of 2,000 boxes are only a few different rectangles.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RECTANGLES_AT_A_TIME = 512
# A rectangle has four windows: at the first and last row, at the first and last column. These are
# the ones that differ. A side that is a power of two needs one window, any other side two.
_CORNERS = ([0], [0, 1], [0, 2], [0, 1, 2, 3])


def rectangle_max(maps: Tensor, batch: Tensor, ys: Tensor, xs: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each channel in each different rectangle of cells; 0 if it is empty.

    maps (B, C, H', W'), batch (R,), each RoI's image, ys and xs (R, S, 2), each bin's first row or
    column and its exclusive end -> (U, C) for the U different rectangles, and (R, S, S), the index
    of each bin's rectangle.
    """
    images, channels, height, width = maps.shape
    if len(batch) == 0:
        return maps.new_zeros(0, channels), batch.new_zeros(0, ys.shape[1], ys.shape[1])
    rectangles, each, which = _distinct_rectangles(batch, ys, xs, height, width)
    image, y1, y2, x1, x2 = rectangles
    is_empty = (y2 <= y1) | (x2 <= x1)
    y1, x1 = (torch.where(is_empty, 0, first) for first in (y1, x1))
    y2, x2 = (torch.where(is_empty, 1, last) for last in (y2, x2))

    i, j = _log2(y2 - y1, height), _log2(x2 - x1, width)
    table = _window_max(maps, int(i.max()) + 1, int(j.max()) + 1)
    windows = table.view(-1, channels)
    window = ((i * table.shape[1] + j) * images + image) * height  # (U,) times W', plus a cell
    last_y, last_x = y2 - (1 << i), x2 - (1 << j)
    corners = torch.stack([(window + y) * width + x for y in (y1, last_y) for x in (x1, last_x)])
    largest = maps.new_empty(len(window), channels)
    for rows, places, needed in zip(
        largest.split(each), corners.split(each, dim=1), _CORNERS, strict=True
    ):
        # A few rectangles at a time, so that the values are still in the processor's cache when
        # they are compared.
        for block, (first, *others) in zip(
            rows.split(_RECTANGLES_AT_A_TIME),
            places[needed].split(_RECTANGLES_AT_A_TIME, dim=1),
            strict=True,
        ):
            torch.index_select(windows, 0, first, out=block)
            for other in others:
                torch.maximum(block, windows.index_select(0, other), out=block)
    largest[is_empty.nonzero().flatten()] = 0
    return largest, which


def _distinct_rectangles(
    batch: Tensor, ys: Tensor, xs: Tensor, height: int, width: int
) -> tuple[tuple[Tensor, ...], list[int], Tensor]:
    """Every different rectangle once: its image, y1, y2, x1 and x2, each (U,).

    They are sorted by kind: whether each side needs one window or two (see `_CORNERS`). Also
    returns how many there are of each kind, and (R, S, S), the index of each bin's rectangle.
    """
    two_y, two_x = (_is_between_powers(side[..., 1] - side[..., 0]) for side in (ys, xs))
    kind = (2 * two_y.long()[:, :, None] + two_x.long()[:, None]) * (int(batch.max()) + 1)
    # Each rectangle is packed into one number, with the kind in front.
    pack = kind + batch[:, None, None]
    for side, limit in ((ys[:, :, None], height + 1), (xs[:, None], width + 1)):
        pack = (pack * limit + side[..., 0]) * limit + side[..., 1]
    pack, which = torch.unique(pack, return_inverse=True)
    corners: list[Tensor] = []
    for limit in (width + 1, width + 1, height + 1, height + 1, int(batch.max()) + 1):
        corners.insert(0, pack % limit)
        pack = pack // limit
    return tuple(corners), torch.bincount(pack, minlength=len(_CORNERS)).tolist(), which


def _window_max(maps: Tensor, levels_y: int, levels_x: int) -> Tensor:
    """The sparse table, (levels_y, levels_x, B, H', W', C).

    [i, j] holds at each cell the maximum of the 2^i x 2^j window that begins there.
    """
    images, channels, height, width = maps.shape
    table = maps.new_empty(levels_y, levels_x, images, height, width, channels)
    table[0, 0] = maps.permute(0, 2, 3, 1)
    for level in range(1, levels_y):
        _widen(table[level - 1, 0], 2 ** (level - 1), dim=1, out=table[level, 0])
    for level in range(1, levels_x):
        _widen(table[:, level - 1], 2 ** (level - 1), dim=3, out=table[:, level])
    return table


def _is_between_powers(n: Tensor) -> Tensor:
    """Whether a length is not a power of two, so that it needs two windows."""
    return n & (n - 1) > 0


def _log2(n: Tensor, most: int) -> Tensor:
    """The exponent of the largest power of two that is at most n: (U,) integers in 1 to `most`."""
    halvings = torch.arange(1, most.bit_length(), device=n.device)
    return (n[:, None] >> halvings > 0).sum(dim=1)


def _widen(windows: Tensor, by: int, dim: int, out: Tensor) -> None:
    """Make windows twice as long: the larger of each window and the one `by` cells further.

    At the end of the map, where there is no further one, the window stays as it is.
    """
    both = max(windows.shape[dim] - by, 0)
    alone = windows.shape[dim] - both
    ahead = windows.narrow(dim, alone, both)
    torch.maximum(windows.narrow(dim, 0, both), ahead, out=out.narrow(dim, 0, both))
    out.narrow(dim, both, alone).copy_(windows.narrow(dim, both, alone))
