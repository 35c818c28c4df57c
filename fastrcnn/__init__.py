"""Fast R-CNN, from a picture to its detections, with every step visible.

>>> from fastrcnn import Detector
>>> detector = Detector.from_checkpoint()
>>> detections = detector("assets/horses.jpg")
>>> "horse" in detections.names
True
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrcnn.detections import Detections
    from fastrcnn.detector import Detector, Trace
    from fastrcnn.errors import FastRCNNError
    from fastrcnn.images import load_image
    from fastrcnn.model import FastRCNN, ModelConfig, load_checkpoint, save_checkpoint
    from fastrcnn.proposals import selective_search

__version__ = "0.1.0"

# torch reads this when it first allocates memory. Large tensors then get huge pages, as NumPy's
# arrays do. With ordinary pages, allocating the memory for 2,000 pooled RoIs takes longer than
# pooling them.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# oneDNN makes code for each layer and each picture size. It keeps a thousand pieces of code, and so
# does torch. Memory would grow by 0.6 MB with every new size. The code for the last few pictures is
# enough.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
os.environ.setdefault("LRU_CACHE_CAPACITY", "16")

_HOMES = {
    "Detections": "detections",
    "Detector": "detector",
    "FastRCNN": "model",
    "FastRCNNError": "errors",
    "ModelConfig": "model",
    "Trace": "detector",
    "load_checkpoint": "model",
    "load_image": "images",
    "save_checkpoint": "model",
    "selective_search": "proposals",
}

__all__ = [
    "Detections",
    "Detector",
    "FastRCNN",
    "FastRCNNError",
    "ModelConfig",
    "Trace",
    "load_checkpoint",
    "load_image",
    "save_checkpoint",
    "selective_search",
]


def __dir__() -> list[str]:
    # So that help() and completion show the names that are not imported yet.
    return [*globals(), *__all__]


def __getattr__(name: str) -> object:
    # torch takes seconds to import. So each name is imported only when it is first used.
    if name in _HOMES:
        return getattr(import_module(f"fastrcnn.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fastrcnn' has no attribute {name!r}")
