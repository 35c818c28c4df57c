"""Proposals and feature maps, made before training since each run needs them many times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastrcnn.model import FastRCNN
from fastrcnn.proposals.cache import PreparedProposals
from fastrcnn.runtime import distributed
from fastrcnn.training.feature_cache import FeatureCache, can_keep
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import Progress
from fastrcnn.training.trainer import Trainer


def feature_cache(recipe: Recipe, model: FastRCNN, root: Path | None = None) -> FeatureCache | None:
    """The kept features under `root` on which `recipe` trains `model`.

    The layers of `model` must be frozen already. Gives None if training uses the pictures
    themselves: too few layers are frozen, or the pictures change each time they are used.
    """
    if recipe.augments or recipe.pyramid or not can_keep(model.backbone):
        return None
    return FeatureCache(
        model.backbone, model.config.resize, root, recipe.flip_maps, recipe.precision
    )


def fill_caches(
    trainer: Trainer, features: FeatureCache | None, proposals: PreparedProposals
) -> Iterator[Progress]:
    """Make the proposals and frozen features of all pictures that are not on disk yet.

    With several processes, each makes its share, and all wait for the slowest. The stages are
    "proposals" and, if the frozen layers' maps are kept, "features".
    """
    mine = slice(distributed.rank(), None, distributed.world_size())
    train, val = list(trainer.train)[mine], list(trainer.val or ())[mine]
    workers = max((os.cpu_count() or 1) // distributed.world_size(), 1)
    making = proposals.fill([*train, *val], workers)
    for done, _ in enumerate(making, start=1):
        yield Progress("proposals", done, len(train) + len(val))
    if features is not None:
        for done, _ in enumerate(features.fill(train, trainer.recipe.flip), start=1):
            yield Progress("features", done, len(train) + len(val))
        for done, _ in enumerate(features.fill(val), start=1 + len(train)):
            yield Progress("features", done, len(train) + len(val))
    distributed.gather_objects(None)
