"""The three plots of a run: total, class and box loss, training against validation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastrcnn.runtime.atomic_write import atomic_write

_LOSSES = {"loss": "total", "loss_cls": "class", "loss_loc": "box"}
# One thread draws all plots, since matplotlib keeps fonts open for every thread that ever drew.
_DRAWING = ThreadPoolExecutor(1, thread_name_prefix="plots")
_POINTS = 200  # points of a training curve, each the mean of a stretch of steps


def read_metrics(path: Path) -> list[dict]:
    """The records in a run's ``metrics.jsonl``, in order."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plot_losses(metrics: Sequence[dict], path: Path) -> None:
    """Draw the records that `read_metrics` gives, at least one of them a step, as a PNG file."""
    _DRAWING.submit(_draw, metrics, path).result()


def _draw(metrics: Sequence[dict], path: Path) -> None:
    # Here, since matplotlib is slow to import and no other command draws curves.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [record for record in metrics if record["event"] == "step"]
    validations = [record for record in metrics if record["event"] == "validation"]
    stretches = np.array_split(np.arange(len(steps)), min(len(steps), _POINTS))
    figure = Figure(figsize=(12, 3.6))
    figure.subplots_adjust(0.04, 0.15, 0.99, 0.9)
    FigureCanvasAgg(figure)  # needs no window and no global state
    for axes, (key, title) in zip(figure.subplots(1, 3), _LOSSES.items(), strict=True):
        axes.plot(
            [np.mean([steps[i]["iteration"] for i in stretch]) for stretch in stretches],
            [np.mean([steps[i][key] for i in stretch]) for stretch in stretches],
            label="training",
        )
        if validations:
            axes.plot(
                [record["iteration"] for record in validations],
                [record[key] for record in validations],
                "o-",
                label="validation",
            )
        axes.set_title(f"{title} loss")
        axes.set_xlabel("iteration")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=100)
