from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fastrcnn.data import Dataset, join
from fastrcnn.errors import RecipeError
from fastrcnn.training import with_settings
from fastrcnn.training.order import Order
from tests.training.tiny import RECIPE, dataset


def order(*settings: str, train: Dataset | None = None) -> Order:
    return Order(with_settings(RECIPE, settings), train or dataset())


def epoch(made: Order, number: int) -> list[tuple[int, bool]]:
    first = number * made.per_epoch
    return [entry for i in range(first, first + made.per_epoch) for entry in made.batch(i)]


def test_an_epoch_uses_every_picture_and_its_mirror_image_once():
    made = order()
    assert made.per_epoch == 7
    for number in (0, 1):
        expected = Counter((i, flip) for i in range(7) for flip in (False, True))
        assert Counter(epoch(made, number)) == expected


def test_what_does_not_fill_a_batch_is_left_out():
    made = order("flip=false", "images_per_batch=4")
    assert made.per_epoch == 1
    assert len({index for index, _ in made.batch(0)}) == 4


def test_epochs_and_seeds_differ():
    made = order("flip=false")
    assert epoch(made, 0) != epoch(made, 1) != epoch(made, 2)
    assert epoch(made, 0) != epoch(order("flip=false", "seed=1"), 0)


def test_any_iteration_can_be_asked_for_at_any_time():
    made = order()
    forwards = [made.batch(i) for i in range(20)]
    assert [made.batch(i) for i in reversed(range(20))] == forwards[::-1]


def test_too_few_pictures_for_a_batch_are_refused():
    with pytest.raises(RecipeError, match="images_per_batch"):
        order("images_per_batch=8", "flip=false")


def test_pictures_of_one_orientation_go_together():
    train = dataset(41)
    upright = [replace(a, width=a.height, height=a.width) for a in train[:13]]
    train = replace(train, annotations=(*upright, *train[13:]))
    made = order("images_per_batch=4", train=train)
    for number in (0, 1, 2):
        kinds = [
            {index < 13 for index, _ in made.batch(i)}
            for i in range(number * made.per_epoch, (number + 1) * made.per_epoch)
        ]
        assert sum(len(kind) > 1 for kind in kinds) <= 1
        # The upright ones do not all come last.
        assert {True} in kinds[: len(kinds) // 2] or number


def counts(made: Order, pictures: int, epochs: int) -> np.ndarray:
    seen = [index for number in range(epochs) for index, _ in epoch(made, number)]
    return np.bincount(seen, minlength=pictures) / epochs


def test_repeat_factors_by_hand():
    # Eight pictures, class 2 in one of them: a share of 1/8, and with a threshold of 1/2 that is
    # seen the root of 4 times as often: 2 / (7 + 2) of the eight views of an epoch.
    train = dataset(8)
    labels = [np.array([1, 2 if index == 5 else 1]) for index in range(8)]
    train = replace(
        train,
        annotations=tuple(replace(a, labels=own) for a, own in zip(train, labels, strict=True)),
    )
    settings = ("balance=0.5", "flip=false", "images_per_batch=1", "rois_per_batch=8")
    seen = counts(order(*settings, train=train), 8, 900)
    assert seen.sum() == pytest.approx(8)
    assert seen[5] == pytest.approx(2 * 8 / 9, abs=0.06)
    assert np.delete(seen, 5) == pytest.approx(8 / 9, abs=0.06)
    # Rounded up or down, never further off.
    made = order(*settings, train=train)
    for number in range(20):
        own = Counter(index for index, _ in epoch(made, number))
        assert own[5] in (1, 2) and all(own[i] <= 1 for i in range(8) if i != 5)


def test_each_joined_set_gets_its_share():
    train = join([dataset(12), dataset(4, first=12)])
    settings = ("images_per_batch=1", "rois_per_batch=8", "data_shares=0.6,0.4")
    seen = counts(order(*settings, train=train), 16, 300)
    assert seen[:12] == pytest.approx(32 * 0.6 / 12, abs=0.1)
    assert seen[12:] == pytest.approx(32 * 0.4 / 4, abs=0.1)


def test_shares_for_other_sets_than_there_are_are_refused():
    for train in (dataset(), join([dataset(3), dataset(3, 3), dataset(3, 6)])):
        with pytest.raises(RecipeError, match=r"^data_shares has 2 shares, but .* data sets"):
            order("data_shares=0.6,0.4", train=train)
