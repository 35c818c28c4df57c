"""Draws the RoIs of a picture for a mini-batch (paper, section 2.3: hierarchical sampling).

N pictures are drawn first, then R / N RoIs from each, so that RoIs of one picture share its maps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sample_rois(
    labels: Tensor,
    count: int,
    fg_fraction: float,
    generator: np.random.Generator,
    replacement: bool = False,
) -> Tensor:
    """Indices of `count` RoIs, `fg_fraction` of them foreground, foreground first.

    labels: (R,) int64 from `label_proposals`. Background fills the places of missing foreground. If
    background runs out too, fewer than `count` are returned. With replacement (as in the
    walk-through) neither kind runs out, but a picture without background still gives only its
    share of foreground.
    """
    foreground = torch.nonzero(labels > 0).squeeze(1).numpy()
    background = torch.nonzero(labels == 0).squeeze(1).numpy()
    wanted = round(fg_fraction * count)
    kept = _draw(foreground, wanted, generator, replacement)
    rest = _draw(background, count - len(kept), generator, replacement)
    return torch.from_numpy(np.concatenate([kept, rest]))


def _draw(
    indices: np.ndarray, count: int, generator: np.random.Generator, replacement: bool
) -> np.ndarray:
    if not len(indices):
        return indices
    if not replacement:
        count = min(count, len(indices))
    return generator.choice(indices, count, replace=replacement)
