"""What a GPU would have to be waited for, or cannot do, seen without one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fastrcnn.model import fast_rcnn, roi_pool, vgg

# Copies of a tensor, or of one number of it, and operations whose result has a size of its own.
_COPIES = ("cpu", "numpy", "tolist", "item", "__int__", "__float__", "__bool__", "__index__")
_SIZES = ("nonzero", "unique", "unique_consecutive", "masked_select", "bincount", "nms")


class HostReads(TorchFunctionMode):
    """Counts them by name while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", str(function))
        if name in (*_COPIES, *_SIZES):
            self.seen[name] += 1
        # To the GPU: by name, or made from plain numbers.
        goes = name == "to" and any(isinstance(argument, torch.device) for argument in args)
        if goes or name in ("tensor", "as_tensor", "new_tensor"):
            self.seen["copied there"] += 1
        if name in ("__getitem__", "__setitem__"):
            self.seen.update(_index_costs(args[1]))
        return function(*args, **(kwargs or {}))


def _index_costs(index: object) -> Counter[str]:
    several = index if isinstance(index, tuple) else (index,)
    masks = sum(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in several)
    lists = sum(isinstance(part, list) for part in several)
    return +Counter({"mask": masks, "copied there": lists})


class NoDoubles(TorchDispatchMode):
    """Refuses to make a tensor of doubles while it is on, as an Apple GPU (``mps``) does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f"{function} makes doubles")
        return result


def compute_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything take the paths that it takes on a GPU, on the processor."""
    for module in (fast_rcnn, roi_pool, vgg):
        monkeypatch.setattr(module, "is_processor", lambda device: False)
