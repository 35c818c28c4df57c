"""The paper's figures as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastrcnn.errors import DataError, reason
from fastrcnn.paper.report import Line
from fastrcnn.runtime.atomic_write import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_stages(stages: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Figure 2 as PNG: the share of each stage in the time of a picture.

    stages: by the name of a bar, then by stage, in seconds. Raises DataError if the file cannot be
    written.
    """
    figure, axes = _figure(8, 1.2 + 0.6 * len(stages))
    shares = {
        name: {stage: taken / sum(seconds.values()) for stage, taken in seconds.items()}
        for name, seconds in stages.items()
    }
    left = np.zeros(len(stages))
    for stage in next(iter(stages.values())):
        wide = np.array([own[stage] for own in shares.values()])
        bars = axes.barh([*stages], wide, left=left, label=stage)
        labels = [f"{share:.0%}" if share > 0.03 else "" for share in wide]
        axes.bar_label(bars, labels, label_type="center")
        left += wide
    axes.invert_yaxis()
    axes.set_xlabel("share of the network's time for a picture")
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    _save(figure, path)


def plot_proposals(lines: Sequence[Line], counts: Sequence[int], path: Path) -> None:
    """Figure 3 as PNG: mAP with its standard error, and average recall, over the proposals.

    counts: the boxes that each line looks at; lines with dense boxes are drawn apart. Raises
    DataError if the file cannot be written.
    """
    figure, axes = _figure(8, 4.5)
    for title, marker, chosen in (
        ("selective search", "o-", [i for i, line in enumerate(lines) if "dense" not in line.name]),
        ("2,000 and dense ones", "^-", [i for i, n in enumerate(lines) if "and" in n.name]),
        ("dense boxes alone", "D", [i for i, n in enumerate(lines) if "alone" in n.name]),
    ):
        own = [(counts[i], lines[i]) for i in chosen]
        scored = [(count, line, line.score) for count, line in own if line.score is not None]
        if not scored:
            continue
        places = [count for count, _, _ in scored]
        mean_ap = axes.errorbar(
            places,
            [score.mean_ap for _, _, score in scored],
            [score.error for _, _, score in scored],
            fmt=marker,
            label=f"mAP, {title}",
            capsize=3,
        )
        axes.plot(
            places,
            [line.average_recall or 0.0 for _, line, _ in scored],
            marker.replace("-", "--"),
            color=mean_ap[0].get_color(),
            alpha=0.5,
            label=f"average recall, {title}",
        )
    axes.set_xscale("log")
    axes.set_xlabel("boxes a picture")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    # Here, since matplotlib is slow to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # needs no window and no global state
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    try:
        with atomic_write(path) as part:
            figure.savefig(part, format="png", dpi=100)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {reason(error)}.") from error
