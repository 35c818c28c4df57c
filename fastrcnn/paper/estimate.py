"""How long the trainings and the detecting of a table would take on this computer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastrcnn.data.pictures import load_annotated
from fastrcnn.detector import Detector
from fastrcnn.paper.experiments import Experiments
from fastrcnn.paper.tables import Row, Training
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.training.records import Step
from fastrcnn.training.trainer import Trainer, build_model

_STEPS = 3  # the first is slower than the rest, so the fastest counts


def seconds_left(experiments: Experiments, rows: Sequence[Row]) -> float:
    """Seconds for what is not done yet, from a few steps of one training and one picture.

    The first training that is left is tried, on a few pictures, and what it makes is thrown away.
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
    step, picture, search = _try(experiments, left[0])
    steps = sum(_iterations(experiments, training) for training in left)
    tested = len(setting.test) * len(trainings)
    searched = len(setting.test) + len(setting.joined)
    return step * steps + picture * tested + search * searched


def _iterations(experiments: Experiments, training: Training) -> int:
    recipe = experiments.recipe(training)
    train = experiments.setting.joined if training.joined else experiments.setting.train
    views = len(train) * (1 + recipe.flip)
    return recipe.iterations or (recipe.epochs or 0) * (views // recipe.images_per_batch)


def _try(experiments: Experiments, training: Training) -> tuple[float, float, float]:
    """The seconds of a step, of the network for a test picture, and of its proposals."""
    setting, recipe = experiments.setting, experiments.recipe(training)
    few = setting.train[: recipe.images_per_batch]
    model = build_model(recipe, few.classes, setting.weights).to(setting.device)
    short = recipe.but(iterations=_STEPS, epochs=None, svd_rank=None)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            short, model, few, out=Path(folder), proposals=experiments.proposals(training)
        )
        step = min(record.seconds for record in trainer if isinstance(record, Step))
    image = load_annotated(setting.test[0])
    mode = MODES[recipe.proposals_mode]
    boxes = selective_search(image, mode).boxes
    detector = Detector(model, search=mode)
    taken = detector.trace(image, boxes=boxes).seconds
    searched = detector.trace(image, features=None).seconds
    return step, sum(taken.values()), searched["segments"] + searched["proposals"]
