"""A table that was run: ours beside the paper's, as text, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastrcnn.data import Dataset
from fastrcnn.evaluation.average_precision import without_nan
from fastrcnn.evaluation.bootstrap import Score, bootstrap
from fastrcnn.evaluation.recall import proposal_recall
from fastrcnn.evaluation.variants import Variant
from fastrcnn.paper.experiments import Experiments, Outcome, Setting
from fastrcnn.paper.tables import EASY, Row, Table, Training
from fastrcnn.proposals.dense import DenseBoxes


@dataclass(frozen=True)
class Line:
    """One row of a table that was run; mAPs are shares of 1, as everywhere in this project.

    score: None for a row that only the paper has. difference, error: from the table's first row of
    ours. published, published_difference: the paper's mAP, and its difference from that same row.
    training_seconds, seconds: of all steps, and of the network for a picture. average_recall: of
    the boxes that it looked at.
    """

    name: str
    published: float | None
    published_difference: float | None
    note: str
    score: Score | None = None
    difference: float = 0.0
    error: float = 0.0
    training_seconds: float | None = None
    seconds: float | None = None
    average_recall: float | None = None

    def to_json_dict(self) -> dict[str, Any]:
        """Plain values; see `without_nan`."""
        values = {name: value for name, value in vars(self).items() if name != "score"}
        if self.score is None:
            return values | {"mean_ap": None}
        values |= {
            "mean_ap": self.score.mean_ap,
            "mean_ap_error": self.score.error,
            "map_11point": self.score.eleven_point,
            "map_coco": self.score.coco,
            "boxes": self.score.boxes,
        }
        return without_nan(values)


def fitting(table: Table, setting: Setting) -> Table:
    """The table without the rows that these data sets cannot give.

    Without difficult objects there is no row for leaving them out, and with a single data set none
    for more data.
    """
    has_difficult = any(annotation.difficult.any() for annotation in setting.train)
    has_more = len(setting.joined) > len(setting.train)
    rows = tuple(
        row
        for row in table.rows
        if (row.training != EASY or has_difficult)
        and (row.training is None or not row.training.joined or has_more)
    )
    return replace(table, rows=rows)


def run(experiments: Experiments, table: Table, with_recall: bool = False) -> list[Line]:
    """Train, detect and score every row of a table."""
    outcomes: dict[str, Outcome] = {}
    trainings = {row.training.name: row.training for row in table.rows if row.training is not None}
    for name, training in trainings.items():
        own = {
            row.name: row.variant
            for row in table.rows
            if row.training is not None and row.training.name == name
        }
        outcomes |= experiments.detect(training, own)
    scores = {
        name: bootstrap(outcome.detections, experiments.setting.test)
        for name, outcome in outcomes.items()
    }
    reference = next(row for row in table.rows if row.training is not None)
    first = scores[reference.name]
    lines = []
    for row in table.rows:
        theirs = _published(row, reference)
        if row.training is None:
            lines.append(Line(row.name, *theirs, row.note))
            continue
        score = scores[row.name]
        recall = None
        if with_recall:
            recall = average_recall(experiments, row.training, row.variant)
        seconds = experiments.seconds(row.training), outcomes[row.name].seconds
        difference = score.difference(first)
        lines.append(Line(row.name, *theirs, row.note, score, *difference, *seconds, recall))
    return lines


def compare(outcomes: Mapping[str, Outcome], dataset: Dataset) -> list[Line]:
    """The lines of outcomes that the paper does not have, by name. The first is the reference."""
    scores = {name: bootstrap(item.detections, dataset) for name, item in outcomes.items()}
    first = next(iter(scores.values()))
    return [
        Line(name, None, None, "", score, *score.difference(first), None, outcomes[name].seconds)
        for name, score in scores.items()
    ]


def _published(row: Row, reference: Row) -> tuple[float | None, float | None]:
    """The paper's mAP of a row and its difference from the reference, as shares of 1."""
    if row.published is None:
        return None, None
    if reference.published is None:
        return row.published / 100, None
    return row.published / 100, (row.published - reference.published) / 100


def average_recall(experiments: Experiments, training: Training, variant: Variant) -> float:
    """The average recall of the boxes that a variant scores in the test pictures."""
    test, dense = experiments.setting.test, DenseBoxes()
    searched = experiments.searched(training)
    boxes = (
        np.concatenate([searched.get(item)[: variant.proposals], dense.get(item)[: variant.dense]])
        for item in test
    )
    return proposal_recall(boxes, test, limit=variant.proposals + variant.dense).average_recall


def to_text(lines: Sequence[Line], network: str = "") -> str:
    """The table for a terminal. Times are ours; the paper's are in the notes.

    "strict" is mAP over the IoUs 0.5 to 0.95.
    """
    with_recall = any(line.average_recall is not None for line in lines)
    head = f"{'':36}{'mAP':>7}{'+-':>7}{'11-pt':>7}{'strict':>7}{'diff.':>8}{'+-':>7}"
    head += f"{f'paper {network}':>9}{'diff.':>8}{'train s':>9}{'test s':>8}"
    found = [head + (f"{'AR':>7}" if with_recall else "")]
    for line in lines:
        theirs = f"{_number(line.published, '.3f'):>9}"
        theirs += f"{_number(line.published_difference, '+.3f'):>8}"
        if line.score is None:
            found.append(f"{line.name:36}{'-':>7}{'':36}{theirs}")
            continue
        cells = f"{line.name:36}{line.score.mean_ap:7.3f}{line.score.error:7.3f}"
        cells += f"{line.score.eleven_point:7.3f}{line.score.coco:7.3f}"
        cells += f"{line.difference:+8.3f}{line.error:7.3f}{theirs}"
        cells += f"{_number(line.training_seconds, '.0f'):>9}{_number(line.seconds, '.3f'):>8}"
        if with_recall:
            cells += f"{_number(line.average_recall, '.3f'):>7}"
        found.append(f"{cells}  {f'paper: {line.note}' if line.note else ''}".rstrip())
    return "\n".join(found)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
