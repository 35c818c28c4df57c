"""The figures as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fastrcnn.paper.report import Line
from fastrcnn.runtime.atomic_write import atomic_write


def plot_stages(stages: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Figure 2: for each way of computing, the share of each stage in a picture's time, as PNG.

    stages: seconds by way and stage.
    """
    figure, axes = _figure((8, 1 + 0.7 * len(stages)))
    left = dict.fromkeys(stages, 0.0)
    for stage in next(iter(stages.values())):
        for name, seconds in stages.items():
            share = seconds[stage] / sum(seconds.values())
            (bar,) = axes.barh(name, share, left=left[name], label=stage, color=_colour(stage))
            axes.bar_label([bar] if False else axes.containers[-1], [f"{share:.0%}"], label_type="center")
            left[name] += share
    axes.invert_yaxis()
    axes.set_xlabel("share of the network's time for a picture")
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    axes.legend(handles.values(), handles.keys(), ncols=len(handles), loc="lower center", bbox_to_anchor=(0.5, 1))
    _save(figure, path)
