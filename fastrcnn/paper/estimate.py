"""How long the trainings and the detecting of a table would take on this computer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastrcnn.detector import Detector
from fastrcnn.paper.experiments import Experiments
from fastrcnn.paper.tables import Row, Training
from fastrcnn.training.records import Step
from fastrcnn.training.trainer import Trainer, build_model

_STEPS = 3  # the first is slower than the rest, so the fastest counts


def seconds_left(experiments: Experiments, rows: Sequence[Row]) -> float:
    """Seconds for the trainings that are not done yet, and for their detectors to detect.

    The first of these trainings is tried for a few steps on a few pictures, and what it makes is
    thrown away. 0 if all are done.
    """
    setting = experiments.setting
    trainings = {row.training.name: row.training for row in rows if row.training is not None}
    for training in [*trainings.values()]:
        if training.start is not None:
            trainings.setdefault(training.start.name, training.start)
    left = [
        training
        for training in trainings.values()
        if not (experiments.folder(training) / "model.safetensors").exists()
    ]
    if not left:
        return 0.0
    tried = _try(experiments, left[0])
    seconds = tried.search * (len(setting.test) + len(setting.joined))
    for training in left:
        own = [row.variant for row in rows if row.training == training]
        boxes = sum(
            max(
                min(one.proposals, tried.boxes) + one.dense for one in own if one.network == network
            )
            for network in {one.network for one in own}
        )
        seconds += tried.step * _iterations(experiments, training)
        seconds += (tried.features + tried.box * boxes) * len(setting.test) * bool(own)
    return seconds


def _iterations(experiments: Experiments, training: Training) -> int:
    recipe = experiments.recipe(training)
    train = experiments.setting.joined if training.joined else experiments.setting.train
    views = len(train) * (1 + recipe.flip)
    return recipe.iterations or (recipe.epochs or 0) * (views // recipe.images_per_batch)


class _Tried(NamedTuple):
    """Seconds of a training step; for a test picture, of its search, its maps and each box."""

    step: float
    search: float
    features: float
    box: float
    boxes: int


def _try(experiments: Experiments, training: Training) -> _Tried:
    setting, recipe = experiments.setting, experiments.recipe(training)
    few = setting.train[: recipe.images_per_batch]
    model = build_model(recipe, few.classes, setting.weights).to(setting.device)
    short = recipe.but(iterations=_STEPS, epochs=None, svd_rank=None)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            short, model, few, out=Path(folder), proposals=experiments.proposals(training)
        )
        step = min(record.seconds for record in trainer if isinstance(record, Step))
    trace = Detector(model, search=recipe.proposals_mode).trace(setting.test[0].path)
    seconds, boxes = trace.seconds, len(trace.boxes)
    return _Tried(
        step=step,
        search=seconds["segments"] + seconds["proposals"],
        features=seconds["features"],
        box=seconds["head"] / boxes,
        boxes=boxes,
    )
