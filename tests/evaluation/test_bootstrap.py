"""The bootstrap: pictures drawn several times count several times, and differences are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastrcnn.data import Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.average_precision import match, score_detections
from fastrcnn.evaluation.bootstrap import bootstrap, drawn_mean_ap
from tests.evaluation.scene import CLASSES, pictures


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return pictures(tmp_path_factory.mktemp("pictures"))


def noisy(dataset: Dataset, seed: int, spread: float = 9) -> dict[str, Detections]:
    """Two detections near each object, some of them right."""
    random, found = np.random.default_rng(seed), {}
    for item in dataset:
        boxes = np.repeat(item.boxes, 2, axis=0)
        boxes = boxes + random.normal(0, spread, (6, 4)).astype(np.float32)
        scores = np.sort(random.random(6, np.float32))[::-1]
        found[item.image_id] = Detections(boxes, scores, np.repeat(item.labels, 2), CLASSES)
    return found


@pytest.mark.parametrize("times", [[1, 1, 1, 1], [2, 0, 1, 3], [0, 0, 4, 0]])
def test_a_picture_drawn_twice_is_one_that_is_there_twice(dataset, times):
    found = noisy(dataset, 1)
    drawn, drawn_found = [], {}
    for item, count in zip(dataset, times, strict=True):
        for copy in range(count):
            drawn.append(replace(item, image_id=f"{item.image_id} {copy}"))
            drawn_found[drawn[-1].image_id] = found[item.image_id]
    matches = [match(found, dataset, label) for label in (1, 2)]
    expected = score_detections(drawn_found, replace(dataset, annotations=tuple(drawn))).map_area
    assert drawn_mean_ap(matches, dataset, np.array(times)) == pytest.approx(expected)
    assert 0 < expected < 1


def test_where_nothing_is_drawn_that_counts_there_is_no_score(dataset):
    none = np.zeros(0)
    nothing = Detections(none.reshape(0, 4).astype(np.float32), none, none.astype(int), CLASSES)
    matches = [match({item.image_id: nothing for item in dataset}, dataset, k) for k in (1, 2)]
    assert np.isnan(drawn_mean_ap(matches, dataset, np.zeros(4, int)))
    assert drawn_mean_ap(matches, dataset, np.ones(4, int)) == 0


def test_draws_without_an_object_do_not_count(dataset):
    """Of two pictures one has no object: on a quarter of the draws there is none."""
    nothing = dataset[1]
    empty = replace(nothing, boxes=nothing.boxes[:0], labels=nothing.labels[:0])
    empty = replace(empty, difficult=nothing.difficult[:0])
    two = replace(dataset, annotations=(dataset[0], empty))
    score = bootstrap(noisy(dataset, 1), two)
    assert 0 < np.isnan(score.drawn).mean() < 0.5
    assert score.error == score.drawn[~np.isnan(score.drawn)].std()
    assert score.difference(score) == (0, 0)
    assert np.isnan(bootstrap(noisy(dataset, 1), replace(two, annotations=(empty,))).error)


def test_scores_are_those_of_evaluate_and_differences_are_paired(dataset):
    found, other = noisy(dataset, 1), noisy(dataset, 2, spread=14)
    score, worse = bootstrap(found, dataset), bootstrap(other, dataset)
    scored = score_detections(found, dataset)
    expected = scored.map_area, scored.map_11point, scored.map_coco
    assert (score.mean_ap, score.eleven_point, score.coco) == expected
    assert score.boxes == 6 and score.error > 0
    assert score.difference(score) == (0, 0)
    difference, error = score.difference(worse)
    assert difference == pytest.approx(score.mean_ap - worse.mean_ap) and error > 0
    # The same draws each time.
    assert bootstrap(found, dataset).error == score.error
    assert score.drawn.mean() == pytest.approx(score.mean_ap, abs=3 * score.error)
