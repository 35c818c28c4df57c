"""Changes to a training picture, drawn anew each time that it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fastrcnn.model.resize import Resize


@dataclass(frozen=True)
class Augmentation:
    """What is drawn: a scale and a change of colours.

    scales: the shorter sides in pixels of which one is drawn (paper, section 2.4: multi-scale
    training); none for the resizing's own. colour: brightness, contrast and saturation are each
    multiplied by a number drawn from 1 - colour to 1 + colour.
    """

    scales: tuple[int, ...] = ()
    colour: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.scales) or self.colour > 0

    def resize(self, resize: Resize, draw: np.random.Generator) -> Resize:
        """`resize` at a drawn scale; the limit of the longer side grows and shrinks with it."""
        if not self.scales:
            return resize
        shorter = int(draw.choice(self.scales))
        longer = round(resize.longer * shorter / resize.shorter)
        return resize.but(shorter=shorter, longer=longer)

    def recolour(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """(H, W, 3) uint8 -> the same picture in other light."""
        if not self.colour:
            return image
        from torchvision.transforms.v2 import functional as F  # late, as in torchvision_ops.py

        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        for adjust in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
            pixels = adjust(pixels, float(draw.uniform(1 - self.colour, 1 + self.colour)))
        return pixels.permute(1, 2, 0).numpy()


NO_AUGMENTATION = Augmentation()
