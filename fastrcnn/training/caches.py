"""What a training run asks for again and again, made beforehand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastrcnn.model import FastRCNN
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.runtime import distributed
from fastrcnn.training.feature_cache import FeatureCache
from fastrcnn.training.recipes import Recipe
from fastrcnn.training.records import Progress
from fastrcnn.training.trainer import Trainer


def feature_cache(recipe: Recipe, model: FastRCNN, root: Path | None = None) -> FeatureCache:
    """The features that `recipe` trains `model` on, which is frozen already; kept under `root`."""
    return FeatureCache(
        model.backbone,
        model.config.resize,
        root,
        recipe.flip_maps,
        recipe.precision,
        recipe.augmentation(),
    )


def fill_caches(
    trainer: Trainer, features: FeatureCache, proposals: ProposalCache
) -> Iterator[Progress]:
    """Make the proposals and frozen features of all pictures that are not on disk yet.

    Of several processes each makes its share, and all wait for the slowest. The stages are
    "proposals" and, where the frozen layers' maps are kept, "features".
    """
    mine = slice(distributed.rank(), None, distributed.world_size())
    train, val = list(trainer.train)[mine], list(trainer.val or ())[mine]
    workers = max((os.cpu_count() or 1) // distributed.world_size(), 1)
    making = proposals.fill([*train, *val], workers)
    for done, _ in enumerate(making, start=1):
        yield Progress("proposals", done, len(train) + len(val))
    if features.keeps:
        # A training picture that is another each time has no map to keep.
        kept = [] if features.augmentation else train
        for done, _ in enumerate(features.fill(kept, trainer.recipe.flip), start=1):
            yield Progress("features", done, len(kept) + len(val))
        for done, _ in enumerate(features.fill(val), start=1 + len(kept)):
            yield Progress("features", done, len(kept) + len(val))
    distributed.gather_objects(None)
