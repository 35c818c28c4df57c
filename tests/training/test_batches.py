from collections import Counter

import numpy as np
import pytest
import torch

from fastrcnn.boxes import flip_boxes
from fastrcnn.errors import RecipeError
from fastrcnn.training import with_settings
from fastrcnn.training.batches import MiniBatches, split_validation
from tests.training.tiny import RECIPE, WIDTH, Features, Proposals, dataset


def batches(*settings: str, pictures: int = 7) -> MiniBatches:
    recipe = with_settings(RECIPE, settings)
    return MiniBatches(recipe, dataset(pictures), Features("conv2"), Proposals())


def numbers(pictures) -> list:
    return [
        (picture.sample.image_id, picture.sample.flipped, picture.rois.tolist())
        for picture in pictures
    ]


def test_an_epoch_uses_every_picture_and_its_mirror_image_once():
    made = batches()
    assert made.per_epoch == 7
    for epoch in (0, 1):
        seen = [
            (picture.sample.image_id, picture.sample.flipped)
            for iteration in range(7 * epoch, 7 * epoch + 7)
            for picture in made.batch(iteration)
        ]
        assert Counter(seen) == Counter((str(i), f) for i in range(7) for f in (False, True))


def test_what_does_not_fill_a_batch_is_left_out():
    made = batches("flip=false", "images_per_batch=4")
    assert made.per_epoch == 1
    assert len({picture.sample.image_id for picture in made.batch(0)}) == 4


def test_epochs_differ_in_order_and_seeds_in_everything():
    made = batches("flip=false")
    orders = [
        [p.sample.image_id for i in range(3) for p in made.batch(3 * epoch + i)]
        for epoch in range(3)
    ]
    assert orders[0] != orders[1] != orders[2]
    assert numbers(made.batch(0)) != numbers(batches("flip=false", "seed=1").batch(0))


def test_a_batch_depends_on_its_number_alone():
    first = batches()
    expected = [numbers(first.batch(i)) for i in range(9)]
    second = batches()
    assert [numbers(second.batch(i)) for i in reversed(range(9))] == expected[::-1]


def test_processes_share_out_a_batchs_pictures():
    made = batches("images_per_batch=4")
    whole = numbers(made.batch(1))
    assert numbers(made.batch(1, 0, 2)) + numbers(made.batch(1, 1, 2)) == whole[::2] + whole[1::2]


def test_rois_are_the_samples_boxes_in_input_pixels():
    for picture in batches().batch(0):
        sample = picture.sample
        assert len(sample.boxes) == 8
        assert np.sum(sample.labels > 0) == 2
        assert picture.rois[:, 0].eq(0).all()
        # The fake network input is twice as wide as the picture and as high.
        assert np.allclose(picture.rois[:, 1:], sample.boxes * [2, 1, 2, 1])
        assert picture.deltas.tolist() == sample.deltas.tolist()
        assert (sample.overlaps[sample.labels > 0] >= 0.5).all()
        assert (sample.overlaps[sample.labels == 0] < 0.5).all()


def test_a_mirrored_picture_has_mirrored_boxes_and_targets():
    made = batches()
    annotation = dataset()[0]
    boxes, targets = made.label(annotation)
    mirrored, mirrored_targets = made.label(annotation, flip=True)
    assert torch.allclose(mirrored, flip_boxes(boxes, WIDTH), atol=1e-4)
    assert mirrored_targets.labels.tolist() == targets.labels.tolist()
    sign = torch.tensor([-1, 1, 1, 1])
    assert torch.allclose(mirrored_targets.deltas, targets.deltas * sign, atol=1e-4)


def test_ground_truth_joins_the_proposals_when_asked_to():
    annotation = dataset()[0]
    with_truth = batches().label(annotation)[0]
    assert len(with_truth) == 62
    assert with_truth[:2].tolist() == annotation.boxes.tolist()
    assert len(batches("add_ground_truth=false").label(annotation)[0]) == 60
    assert len(batches("max_proposals=5").label(annotation)[0]) == 7


def test_difficult_objects_can_be_left_out():
    annotation = dataset()[0]
    assert annotation.difficult.tolist() == [False, True]
    boxes, targets = batches("use_difficult=false").label(annotation)
    assert len(boxes) == 61
    assert set(targets.labels.tolist()) <= {-1, 0, int(annotation.labels[0])}


def test_with_candidates_training_pictures_bring_more_rois_and_validation_as_many():
    made = batches("candidates_per_batch=32")
    for picture in made.batch(0):
        assert len(picture.rois) == 16
        assert np.sum(picture.sample.labels > 0) == 4
    assert len(made.validation_picture(dataset()[3], 3).rois) == 8


def test_a_picture_with_only_some_of_its_rois():
    picture = batches().batch(0)[0]
    few = picture.only(torch.tensor([6, 1]))
    assert few.rois.tolist() == picture.rois[[6, 1]].tolist()
    assert few.labels.tolist() == few.sample.labels.tolist() == picture.labels[[6, 1]].tolist()
    assert few.deltas.tolist() == few.sample.deltas.tolist() == picture.deltas[[6, 1]].tolist()
    assert few.sample.boxes.tolist() == picture.sample.boxes[[6, 1]].tolist()
    assert few.sample.overlaps.tolist() == picture.sample.overlaps[[6, 1]].tolist()
    assert few.features is picture.features


def test_only_training_pictures_are_drawn_anew():
    made = batches()
    drawn = []
    get = made._features.get
    made._features.get = lambda *wanted: drawn.append(wanted[2:]) or get(*wanted)
    made.batch(0)
    made.validation_picture(dataset()[3], 3)
    assert [len(wanted) for wanted in drawn] == [1, 1, 0]


def test_validation_pictures_give_the_same_rois_every_time():
    made = batches()
    annotation = dataset()[3]
    first = numbers([made.validation_picture(annotation, 3)])
    assert numbers([made.validation_picture(annotation, 3)]) == first
    assert numbers([made.validation_picture(annotation, 4)]) != first
    assert not first[0][1]


def test_too_few_pictures_for_a_batch_are_refused():
    with pytest.raises(RecipeError, match="images_per_batch"):
        batches("images_per_batch=8", "flip=false")


def test_the_split_is_a_partition_that_the_seed_decides():
    every = dataset(10)
    train, val = split_validation(every, 0.2, seed=0)
    ids = [[a.image_id for a in part] for part in (train, val)]
    assert [len(part) for part in ids] == [8, 2]
    assert sorted(ids[0] + ids[1]) == sorted(a.image_id for a in every)
    again = split_validation(every, 0.2, seed=0)[1]
    assert [a.image_id for a in again] == ids[1]
    others = [[a.image_id for a in split_validation(every, 0.2, seed=s)[1]] for s in range(1, 5)]
    assert any(other != ids[1] for other in others)


def test_a_split_leaves_both_parts_something():
    assert [len(part) for part in split_validation(dataset(2), 0.01, 0)] == [1, 1]
    assert [len(part) for part in split_validation(dataset(2), 0.99, 0)] == [1, 1]
    with pytest.raises(RecipeError, match="one picture"):
        split_validation(dataset(1), 0.2, 0)
