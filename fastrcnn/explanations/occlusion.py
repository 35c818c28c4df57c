"""What each part of a pooled box is worth: the head runs again with that part emptied.

C channels, S x S bins, K classes with background at 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fastrcnn.model.head import Head


class Occlusion(NamedTuple):
    """The scores before the softmax, cls_score, of one box. A score does not level off near a
    probability of 1, so it shows what each part adds.

    whole: (K,), of the box as it is. bins: (S, S, K), without the bin at that row and column.
    channels: (N, K), without that channel, in the order they were given.
    """

    whole: Tensor
    bins: Tensor
    channels: Tensor


@torch.inference_mode()
def occlude(head: Head, pooled: Tensor, channels: Tensor) -> Occlusion:
    """Run the head once for each bin and each of these channels, with zeros in its place.

    Zero is what RoI pooling gives for an empty bin. pooled: (C, S, S). channels: (N,) int64. The
    results are on the processor.
    """
    size = pooled.shape[-1]
    weight = head.cls_score.weight
    pooled = pooled.to(weight)
    without_bin = pooled.repeat(size * size, 1, 1, 1)  # (S S, C, S, S)
    places = torch.arange(size * size, device=weight.device)
    without_bin.flatten(2)[places, :, places] = 0
    without_channel = pooled.repeat(len(channels), 1, 1, 1)
    channels = channels.to(weight.device)
    without_channel[torch.arange(len(channels), device=weight.device), channels] = 0
    scores, _ = head(torch.cat([pooled[None], without_bin, without_channel]))
    whole, bins, rest = scores.cpu().split([1, size * size, len(channels)])
    return Occlusion(whole[0], bins.unflatten(0, (size, size)), rest)
