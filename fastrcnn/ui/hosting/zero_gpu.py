"""The network on a GPU that a Hugging Face Space lends for the time of a call (ZeroGPU).

There, a function that `spaces.GPU` decorates runs in another process, which has the GPU: what it
is given and what it answers is pickled, so both are names and NumPy arrays. Everything else on the
page, a visitor's training too, stays on the processor.
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

_SECONDS = 15  # for which a GPU is asked; who asks for less comes sooner

_Steps = Callable[..., tuple[np.ndarray, ...]]


def on_lent_gpu(detector: Detector) -> Detector:
    """The same detector, its network on the GPU where there is `spaces`; elsewhere itself."""
    try:
        spaces = import_module("spaces")
    except ImportError:
        return detector
    return _Borrower(detector, spaces.GPU(duration=_SECONDS))


class _Borrower(Detector):
    def __init__(self, detector: Detector, lend: Callable[[_Steps], _Steps]) -> None:
        super().__init__(detector.model, detector.metadata, detector.search, detector.precision)

        @cache
        def on_gpu() -> Detector:
            # A copy: whoever looks at one box does that on the processor, with the original.
            return Detector(copy.deepcopy(self.model).cuda(), precision=self.precision)

        def run(step: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
            # The GPU is there only while this runs.
            has_gpu = torch.cuda.is_available()
            there, device = (on_gpu(), "cuda") if has_gpu else (detector, "cpu")
            with torch.inference_mode():
                found = getattr(there, step)(*(torch.tensor(a, device=device) for a in arrays))
            several = (found,) if isinstance(found, Tensor) else found
            return tuple(tensor.cpu().numpy() for tensor in several)

        self._run = lend(run)

    def convolve(self, pixels: Tensor) -> Tensor:
        return self._borrow("convolve", pixels)[0]

    def predict(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        probabilities, deltas = self._borrow("predict", features, rois)
        return probabilities, deltas

    def _borrow(self, step: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        try:
            found = self._run(step, *(tensor.numpy() for tensor in tensors))
        except Exception:
            # A visitor's share is used up, or no GPU is free: it takes longer, and goes on.
            answer = getattr(super(), step)(*tensors)
            return answer if isinstance(answer, tuple) else (answer,)
        return tuple(torch.from_numpy(array) for array in found)
