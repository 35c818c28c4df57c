"""The network on a GPU that a Hugging Face Space lends for the time of one call (ZeroGPU).

A function that `spaces.GPU` decorates runs in another process, which has the GPU. Its arguments and
results are pickled, so they are names and NumPy arrays. Everything else on the page stays on the
processor, a visitor's training too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from fastrcnn.detector import Detector

_SECONDS = 15  # the time for which a GPU is requested; shorter calls get one sooner

_Steps = Callable[..., tuple[np.ndarray, ...]]


def on_lent_gpu(detector: Detector) -> Detector:
    """The detector, with its network on a lent GPU if `spaces` is installed, else unchanged."""
    try:
        spaces = import_module("spaces")
    except ImportError:
        return detector
    return _Borrower(detector, spaces.GPU(duration=_SECONDS))


class _Borrower(Detector):
    def __init__(self, detector: Detector, lend: Callable[[_Steps], _Steps]) -> None:
        own = (detector.metadata, detector.search, detector.precision, detector.flip)
        super().__init__(detector.model, *own)

        @cache
        def on_gpu() -> Detector:
            # A copy: the original stays on the processor and inspects single boxes there.
            return Detector(copy.deepcopy(self.model).cuda(), precision=self.precision)

        def run(step: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            # The GPU exists only while this function runs.
            has_gpu = torch.cuda.is_available()
            network, device = (on_gpu(), "cuda") if has_gpu else (detector, "cpu")
            with torch.inference_mode():
                found = getattr(network, step)(*(torch.tensor(a, device=device) for a in arrays))
            several = (found,) if isinstance(found, Tensor) else found
            return tuple(tensor.cpu().numpy() for tensor in several)

        self._run = lend(run)

    def convolve(self, pixels: Tensor) -> Tensor:
        return self._borrow("convolve", pixels)[0]

    def predict(self, features: Tensor, *rois: Tensor) -> tuple[Tensor, Tensor]:
        probabilities, deltas = self._borrow("predict", features, *rois)
        return probabilities, deltas

    def _borrow(self, step: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        try:
            arrays = self._run(step, *(tensor.numpy() for tensor in tensors))
        except Exception:
            # The visitor's share is used up, or no GPU is free. The processor is slower but works.
            found = getattr(super(), step)(*tensors)
            return found if isinstance(found, tuple) else (found,)
        return tuple(torch.from_numpy(array) for array in arrays)
