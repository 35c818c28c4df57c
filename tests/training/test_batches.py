import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fastrcnn.boxes import flip_boxes
from fastrcnn.data import open_dataset
from fastrcnn.errors import RecipeError
from fastrcnn.training import with_settings
from fastrcnn.training.augment import View
from fastrcnn.training.batches import Batch, MiniBatches, split_validation
from tests.training.tiny import (
    PICTURES,
    RECIPE,
    WIDTH,
    Features,
    Proposals,
    dataset,
    painted,
)


def batches(*settings: str, pictures: int = 7) -> MiniBatches:
    recipe = with_settings(RECIPE, settings)
    return MiniBatches(recipe, dataset(pictures), Features("conv2"), Proposals())


def numbers(batch: Batch) -> list:
    rois = batch.rois.split(batch.counts)
    return [
        (sample.image_id, sample.flipped, own.tolist())
        for sample, own in zip(batch.samples, rois, strict=True)
    ]


def test_a_batch_depends_on_its_number_alone():
    first = batches()
    expected = [numbers(first.batch(i)) for i in range(9)]
    second = batches()
    assert [numbers(second.batch(i)) for i in reversed(range(9))] == expected[::-1]


def test_seeds_differ_in_everything():
    assert numbers(batches("flip=false").batch(0)) != numbers(
        batches("flip=false", "seed=1").batch(0)
    )


def test_processes_share_out_a_batchs_pictures():
    made = batches("images_per_batch=4")
    whole = numbers(made.batch(1))
    assert numbers(made.batch(1, 0, 2)) + numbers(made.batch(1, 1, 2)) == whole[::2] + whole[1::2]


def test_rois_are_the_samples_boxes_in_input_pixels():
    batch = batches().batch(0)
    assert batch.counts == (8, 8)
    for part, name in ((batch.labels, "labels"), (batch.deltas, "deltas")):
        own = np.concatenate([getattr(sample, name) for sample in batch.samples])
        assert part.tolist() == own.tolist()
    for sample, rois in zip(batch.samples, batch.rois.split(batch.counts), strict=True):
        assert np.sum(sample.labels > 0) == 2
        # The fake network input is twice as wide as the picture and as high.
        assert np.allclose(rois, sample.boxes * [2, 1, 2, 1])
        assert (sample.overlaps[sample.labels > 0] >= 0.5).all()
        assert (sample.overlaps[sample.labels == 0] < 0.5).all()


def test_maps_of_several_sizes_are_padded_with_nothing():
    made = batches("images_per_batch=4")
    large = made._features._shape
    sizes = {str(i): (large[2] - i % 3, large[3] - 2 * (i % 2)) for i in range(7)}
    get = made._features.get

    def smaller(item, flip):
        maps, scale = get(item, flip)
        height, width = sizes[item.image_id]
        return maps[:, :, :height, :width], scale

    made._features.get = smaller
    batch = made.batch(0)
    own = [sizes[sample.image_id] for sample in batch.samples]
    assert batch.places is None and list(batch.sizes) == own
    assert batch.images.shape[2:] == (max(h for h, _ in own), max(w for _, w in own))
    assert len(set(own)) > 1
    for maps, (height, width) in zip(batch.images, own, strict=True):
        assert maps[:, :height, :width].min() > 0
        assert maps[:, height:].abs().sum() == maps[:, :, width:].abs().sum() == 0


# Pictures


def pictures(folder: Path, *settings: str) -> MiniBatches:
    return MiniBatches(with_settings(PICTURES, settings), painted(folder), None, Proposals())


def colours_of_objects(batch: Batch) -> list[tuple[int, float, float]]:
    """Of each object, as its own box was sampled: its class, and how red and blue its middle is."""
    found = []
    parts = (batch.rois.split(batch.counts), batch.labels.split(batch.counts))
    for image, rois, labels, sample in zip(batch.images, *parts, batch.samples, strict=True):
        for (x1, y1, x2, y2), label, iou in zip(
            rois.tolist(), labels.tolist(), sample.overlaps, strict=True
        ):
            if iou > 0.99:
                middle = image[round(y1 + y2) // 2, round(x1 + x2) // 2].tolist()
                found.append((label, middle[0], middle[2]))
    return found


AUGMENTED = ("scales=40,48", "zoom_out=0.5", "zoom_in=2", "aspect_jitter=0.4", "colour_jitter=0.05")


@pytest.mark.parametrize("settings", [(), AUGMENTED])
def test_pictures_lie_where_their_boxes_are(tmp_path: Path, settings):
    made = pictures(tmp_path, *settings, "rois_per_batch=128")
    found = [object_ for i in range(30) for object_ in colours_of_objects(made.batch(i))]
    assert len(found) > 40
    # Where two objects overlap the later one hides the other.
    right = [(label == 1) == (red > blue) for label, red, blue in found]
    assert np.mean(right) > 0.9


def test_a_batch_of_pictures_is_padded_around_each_ones_place(tmp_path: Path):
    made = pictures(
        tmp_path, "images_per_batch=4", "zoom_out=0.5", "zoom_out_share=1", "zoom_in_share=0"
    )
    for iteration in range(6):
        batch = made.batch(iteration)
        assert batch.images.dtype == torch.uint8 and batch.images.shape[0] == 4
        for image, (x1, y1, x2, y2) in zip(batch.images, batch.places.tolist(), strict=True):
            inside = image[y1:y2, x1:x2]
            assert inside.amin() > 0
            assert image.sum() == inside.sum()


def test_parts_of_a_batch_of_pictures_hold_the_same_pictures(tmp_path: Path):
    made = pictures(tmp_path, "images_per_batch=4", *AUGMENTED)
    for iteration in range(4):
        whole = made.batch(iteration)
        for rank in (0, 1):
            part = made.batch(iteration, rank, 2)
            height, width = part.images.shape[1:3]
            assert torch.equal(part.images, whole.images[rank::2, :height, :width])
            assert not whole.images[rank::2, height:].any()
            assert torch.equal(part.places, whole.places[rank::2])


def test_what_is_mostly_cut_away_is_not_used(tmp_path: Path):
    made = pictures(tmp_path)
    annotation = replace(
        made._train[0],
        boxes=np.array([[0, 0, 20, 20], [30, 0, 50, 20]], np.float32),
        labels=np.array([1, 2]),
        difficult=np.array([False, False]),
    )
    # The first object keeps 0.3 of itself, the second 0.8.
    view = View((14, 0, 46, 48), (0, 0, 32, 48), (48, 32))
    proposals = np.array(
        [
            [14, 0, 20, 20],  # what is left of the first one
            [30, 0, 46, 20],  # what is left of the second one
            [0, 0, 17, 20],  # mostly cut away
            [22, 24, 40, 44],  # nothing
            [10, 0, 20, 20],  # cut to what is left of the first one
        ],
        np.float32,
    )
    made._proposals = SimpleNamespace(get=lambda item: proposals)
    boxes, targets = made.label(annotation, view=view)
    assert boxes.tolist() == [
        *([30, 0, 46, 20], [14, 0, 20, 20], [30, 0, 46, 20], [22, 24, 40, 44], [14, 0, 20, 20]),
    ]
    # The objects' own box, then: unused, found, too far from anything, unused.
    assert targets.labels.tolist() == [2, -1, 2, -1, -1]
    only_difficult = replace(annotation, difficult=np.array([True, True]))
    made._recipe = made._recipe.but(use_difficult=False)
    assert made.label(only_difficult, view=view)[1].labels.tolist() == [-1, -1, 0, -1]


def test_a_picture_without_objects_gives_background(tmp_path: Path):
    made = pictures(tmp_path, "flip=false", "images_per_batch=6", "rois_per_batch=48")
    empty = [
        replace(
            item,
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int64),
            difficult=np.zeros(0, bool),
        )
        if item.image_id == "3"
        else item
        for item in made._train
    ]
    proposals = {item.image_id: Proposals().get(item) for item in made._train}
    made._proposals = SimpleNamespace(get=lambda item: proposals[item.image_id])
    made._train = replace(made._train, annotations=tuple(empty))
    for sample in made.batch(0).samples:
        if sample.image_id == "3":
            assert len(sample.boxes) == 8
            assert not sample.labels.any() and not sample.overlaps.any()
        else:
            assert sample.labels.any()


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
    made = batches("foreground_candidates=4", "background_candidates=12")
    batch = made.batch(0)
    assert batch.counts == (16, 16)
    for sample in batch.samples:
        assert np.sum(sample.labels > 0) == 4
    assert made.validation_picture(dataset()[3], 3).counts == (8,)


def test_a_sample_with_only_some_of_its_rois():
    sample = batches().batch(0).samples[0]
    few = sample.only(np.array([6, 1]))
    for name in ("boxes", "labels", "deltas", "overlaps"):
        assert getattr(few, name).tolist() == getattr(sample, name)[[6, 1]].tolist()
    assert few.path == sample.path


def test_only_training_pictures_are_drawn_anew(tmp_path: Path):
    made = pictures(tmp_path, *AUGMENTED)
    first, second = (made.validation_picture(made._train[0], 0) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert first.images.shape[1:3] == (48, 64)
    shapes = {made.batch(i).images.shape for i in range(12)}
    assert len(shapes) == 4  # two scales, two orientations


def test_of_a_pyramid_each_picture_is_drawn_at_one_scale(tmp_path: Path):
    made = pictures(tmp_path, "pyramid=40,48,64", "longer=160", "rois_per_batch=128")
    found, heights = [], set()
    for iteration in range(12):
        batch = made.batch(iteration)
        found += colours_of_objects(batch)
        heights |= {min(y2 - y1, x2 - x1) for x1, y1, x2, y2 in batch.places.tolist()}
        again = made.batch(iteration, 1, 2)
        assert torch.equal(again.rois, batch.rois[batch.counts[0] :])
    assert heights == {40, 48, 64}
    # Two pictures of one mini-batch may differ.
    assert any(len(set(map(tuple, made.batch(i).places.tolist()))) == 2 for i in range(12))
    assert np.mean([(label == 1) == (red > blue) for label, red, blue in found]) > 0.9


def test_of_a_pyramid_a_validation_picture_has_each_roi_where_it_is_detected(tmp_path: Path):
    made = pictures(tmp_path, "pyramid=48,500,700", "longer=1400", "rois_per_batch=128")
    annotation = made._train[0]
    batch = made.validation_picture(annotation, 0)
    plain = pictures(tmp_path, "rois_per_batch=128").validation_picture(annotation, 0)
    assert len(batch.images) == 3 and sum(batch.counts) == sum(plain.counts)
    scales = [np.prod([w / annotation.width, h / annotation.height]) for h, w in batch.sizes]
    boxes = [sample.boxes for sample in batch.samples]
    seen = 0
    for level, (own, rois) in enumerate(zip(boxes, batch.rois.split(batch.counts), strict=True)):
        factor = np.float32(scales[level] ** 0.5)
        torch.testing.assert_close(rois, torch.from_numpy(own * factor), rtol=0.02, atol=1)
        for area in (own[:, 2:] - own[:, :2]).prod(axis=1):
            distances = [abs(area * scale - 224**2) for scale in scales]
            assert distances[level] == min(distances)
        seen += len(own) > 0
    assert seen > 1
    assert sorted(np.concatenate(boxes).tolist()) == sorted(plain.samples[0].boxes.tolist())


def test_validation_pictures_give_the_same_rois_every_time():
    made = batches()
    annotation = dataset()[3]
    first = numbers(made.validation_picture(annotation, 3))
    assert numbers(made.validation_picture(annotation, 3)) == first
    assert numbers(made.validation_picture(annotation, 4)) != first
    assert not first[0][1]


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


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_a_picture_without_annotations_gives_background_whatever_form_it_came_in(
    tmp_path: Path, form: str
):
    made = painted(tmp_path / "pictures", 2)
    size = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (tmp_path / "voc" / folder).mkdir(parents=True)
    for item in made:
        Image.open(item.path).save(tmp_path / "voc" / "JPEGImages" / f"{item.image_id}.jpg")
        objects = ""
        if item.image_id == "0":
            objects = (
                "<object><name>cat</name><bndbox><xmin>11</xmin><ymin>11</ymin>"
                "<xmax>40</xmax><ymax>40</ymax></bndbox></object>"
            )
        xml = f"<annotation>{size.format(item.width, item.height)}{objects}</annotation>"
        (tmp_path / "voc" / "Annotations" / f"{item.image_id}.xml").write_text(xml)
    (tmp_path / "voc" / "ImageSets/Main/train.txt").write_text("0\n1\n")
    document = {
        "images": [
            {
                "id": int(item.image_id),
                "file_name": item.path.name,
                "width": item.width,
                "height": item.height,
            }
            for item in made
        ],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 10, 30, 30]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "pictures" / "train.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path / ("voc" if form == "voc" else "pictures"), "train")
    assert [len(item.boxes) for item in dataset] == [1, 0]
    boxes = np.array([[9, 9, 40, 41], [0, 0, 20, 20], [12, 20, 47, 47]], np.float32)
    proposals = SimpleNamespace(get=lambda item: boxes)
    recipe = with_settings(PICTURES, ["flip=false", "bg_iou_low=0.1"])
    samples = MiniBatches(recipe, dataset, None, proposals).batch(0).samples
    empty, full = sorted(samples, key=lambda sample: sample.labels.any())
    assert empty.image_id == dataset[1].image_id
    assert sorted(empty.boxes.tolist()) == sorted(boxes.tolist())
    assert empty.labels.tolist() == [0, 0, 0] and not empty.deltas.any()
    assert full.labels.any()
