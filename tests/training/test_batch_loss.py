"""All pictures of a mini-batch together give, and cost, what each does alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastrcnn.images import load_image
from fastrcnn.model import build_backbone
from fastrcnn.training import build_model, with_settings
from fastrcnn.training.batch_loss import BatchLoss
from fastrcnn.training.batches import MiniBatches
from tests.host_reads import HostReads, NoDoubles, compute_as_on_a_gpu
from tests.training.tiny import CLASSES, PICTURES, Proposals, painted

ROOT = Path(__file__).parents[2]


def parts(folder: Path, *settings: str):
    recipe = with_settings(PICTURES, settings)
    batches = MiniBatches(recipe, painted(folder), None, Proposals())
    return batches, BatchLoss(build_model(recipe, CLASSES, "random"), recipe, None)


def test_a_batch_costs_what_its_pictures_cost_together(tmp_path: Path):
    # Landscape pictures of one size: nothing is padded.
    batches, loss = parts(tmp_path, "flip=false", "dropout=0")
    loss.eval()
    together = loss(batches.batch(0))
    alone = [loss(batches.batch(0, slot, 2)) for slot in (0, 1)]
    for name in ("total", "cls", "loc", "foreground", "background"):
        summed = sum(getattr(own, name).item() for own in alone)
        assert getattr(together, name).item() == pytest.approx(summed, rel=1e-5), name


def test_a_validation_picture_costs_the_same_with_a_pyramid_of_one_scale_that_suits_all(tmp_path):
    one, loss = parts(tmp_path, "shorter=96", "longer=160")
    # At 32 pixels every RoI would be too small: they all go to the first scale.
    two, _ = parts(tmp_path, "shorter=96", "longer=160", "pyramid=96,32")
    annotation = one._train[0]
    plain, pyramid = (made.validation_picture(annotation, 0) for made in (one, two))
    assert plain.counts[0] > 0 and pyramid.counts == (*plain.counts, 0)
    costs = [loss.eval()(batch).total.item() for batch in (plain, pyramid)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-5)


@pytest.mark.parametrize("pooling", ["paper", "align"])
def test_a_padded_batch_reads_nothing_from_a_gpu_and_makes_no_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling
):
    batches, loss = parts(tmp_path, f"pooling={pooling}", "images_per_batch=4")
    compute_as_on_a_gpu(monkeypatch)
    batch = next(batch for batch in map(batches.batch, range(20)) if batch.sizes)
    assert batch.size_table.tolist() == [list(size) for size in batch.sizes]
    with HostReads() as reads, NoDoubles():
        loss(batch).total.backward()
    assert not reads.seen


def test_frozen_layers_build_no_graph_and_the_others_learn(tmp_path: Path):
    batches, loss = parts(tmp_path, "first_trainable=conv3")
    loss(batches.batch(0)).total.backward()
    learned = {n.split(".")[2] for n, p in loss.named_parameters() if p.grad is not None}
    assert learned == {"conv3", "conv4", "fc6", "fc7", "cls_score", "bbox_pred"}


@pytest.mark.parametrize("counts", [(0, 0), (0, 5)])
def test_pictures_with_too_few_candidates_or_none(tmp_path: Path, counts):
    batches, loss = parts(tmp_path, "foreground_candidates=8", "background_candidates=24")
    batch = batches.batch(0)
    kept = torch.cat([torch.arange(n) + i * batch.counts[0] for i, n in enumerate(counts)])
    fewer = {name: getattr(batch, name)[kept] for name in ("rois", "labels", "deltas")}
    sums = loss.train()(replace(batch, counts=counts, **fewer))
    assert (sums.foreground + sums.background).item() <= sum(counts)
    assert torch.isfinite(sums.total)
    sums.total.backward()


def test_pixels_are_preprocessed_in_their_place_and_nothing_is_around_them(tmp_path: Path):
    batches, loss = parts(tmp_path, "zoom_out=0.5", "zoom_out_share=1", "zoom_in_share=0")
    batch = batches.batch(0)
    images = loss._images(batch)
    for image, pixels, (x1, y1, x2, y2) in zip(
        images, batch.images, batch.places.tolist(), strict=True
    ):
        own = pixels[y1:y2, x1:x2].numpy()
        expected = loss.model.backbone.preprocess(own)[0]
        assert torch.equal(image[:, y1:y2, x1:x2], expected)
        around = torch.ones(image.shape[1:], dtype=torch.bool)
        around[y1:y2, x1:x2] = False
        assert around.any() and not image[:, around].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pictures_padded_to_one_size_give_the_maps_that_each_gives_alone(dtype):
    """VGG16 with its ImageNet weights on parts of a photograph, of odd sizes too."""
    backbone = build_backbone("vgg16").eval()
    photo = load_image(sorted((ROOT / "assets").glob("*.jpg"))[0])
    cuts = [(64, 112), (51, 91), (35, 112)]
    images = torch.zeros(3, 3, 64, 112)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
        alone = []
        for image, (height, width) in zip(images, cuts, strict=True):
            own = backbone.preprocess(np.ascontiguousarray(photo[:height, :width]))
            image[:, :height, :width] = own[0]
            alone.append(backbone(own)[0])
        for sizes, equal in ((torch.tensor(cuts), True), (None, False)):
            together = backbone(images, sizes=sizes)
            for number, own in enumerate(alone):
                height, width = own.shape[1:]
                found = together[number, :, :height, :width]
                close = (found - own).abs().max() < 2e-3 * own.max()
                assert close == (equal or number == 0), number
                if equal:
                    assert not together[number, :, height:].any()
                    assert not together[number, :, :, width:].any()


@pytest.mark.parametrize(
    ("backbone", "frozen"),
    [
        *(("small", "none"), ("small", "conv2"), ("small", "fc6")),
        *(("caffenet", "conv2"), ("resnet18", "conv3")),
    ],
)
def test_a_padded_batch_costs_what_its_pictures_cost_alone(
    tmp_path: Path, backbone: str, frozen: str
):
    settings = f"backbone={backbone}", f"first_trainable={frozen}", "images_per_batch=4"
    batches, loss = parts(tmp_path, *settings)
    loss.eval()
    seen = 0
    for iteration in range(3):
        batch = batches.batch(iteration)
        seen += batch.sizes is not None
        alone = [loss(batches.batch(iteration, slot, 4)) for slot in range(4)]
        together = loss(batch)
        for name in ("cls", "loc"):
            summed = sum(getattr(one, name).item() for one in alone)
            assert getattr(together, name).item() == pytest.approx(summed, rel=1e-4), name
    assert seen > 0
