"""The network on a GPU that a Hugging Face Space lends for the time of one call (ZeroGPU).

A function that `spaces.GPU` decorates runs in another process, which has the GPU. Its arguments and
results are pickled, so they are NumPy arrays. Everything else on the page stays on the processor, a
visitor's training and the inspection of single boxes too.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from fastrcnn.detector import Detector

GPU = torch.device("cuda")
_SECONDS = 15  # the time for which a GPU is requested; shorter calls get one sooner

_Arrays = list[np.ndarray]
_Run = Callable[[_Arrays, _Arrays], _Arrays]


def load_detector() -> Detector:
    """The page's detector. On ZeroGPU a copy of its network is on the lent GPU.

    Call it in the main thread, before the page is served, and before anything asks for a GPU.
    Raises CheckpointError if the weights cannot be read.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return Detector.from_checkpoint()
    # Its import fails if CUDA was asked for before. Afterwards it pretends that there is a GPU, and
    # keeps what is moved there until one is lent. So the network is loaded on the processor.
    spaces = import_module("spaces")
    return _Borrower(Detector.from_checkpoint(device="cpu"), spaces.GPU(duration=_SECONDS))


class _Borrower(Detector):
    """One lent call for each picture, with both halves of the network."""

    def __init__(self, detector: Detector, lend: Callable[[_Run], _Run]) -> None:
        own = (detector.metadata, detector.search, detector.precision, detector.flip)
        super().__init__(detector.model, *own)
        lent = Detector(copy.deepcopy(self.model).to(GPU), precision=self.precision)

        def run(*groups: _Arrays) -> _Arrays:
            images, rois = ([torch.tensor(a, device=GPU) for a in group] for group in groups)
            with torch.inference_mode():
                return [t.cpu().numpy() for half in lent.halves(images, rois) for t in half]

        self._run = lend(run)

    def halves(
        self, images: Sequence[Tensor], rois: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, ...]]:
        try:
            arrays = self._run(*([tensor.numpy() for tensor in part] for part in (images, rois)))
        except Exception:
            # The visitor's share is used up, or no GPU is free. The processor is slower but works.
            yield from super().halves(images, rois)
        else:
            maps, *predicted = (torch.from_numpy(array) for array in arrays)
            yield (maps,)
            yield tuple(predicted)
