"""The network: backbones, RoI pooling, head, truncated SVD and checkpoints."""

from fastrcnn.model.backbone import Backbone, build_backbone
from fastrcnn.model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint, save_checkpoint
from fastrcnn.model.fast_rcnn import FastRCNN, ModelConfig
from fastrcnn.model.head import Head, LowRankLinear
from fastrcnn.model.resize import Resize
from fastrcnn.model.roi_pool import (
    RoIPool,
    roi_pool_reference,
    walkthrough_roi_pool_reference,
)
from fastrcnn.model.svd import compress, truncated_svd

__all__ = [
    "DEFAULT_CHECKPOINT",
    "Backbone",
    "FastRCNN",
    "Head",
    "LowRankLinear",
    "ModelConfig",
    "Resize",
    "RoIPool",
    "build_backbone",
    "compress",
    "load_checkpoint",
    "roi_pool_reference",
    "save_checkpoint",
    "truncated_svd",
    "walkthrough_roi_pool_reference",
]
