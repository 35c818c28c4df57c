import multiprocessing
from pathlib import Path

import pytest
import torch

from fastrcnn.errors import DataError, FastRCNNError
from fastrcnn.training import with_settings
from fastrcnn.training.batches import MiniBatches
from fastrcnn.training.loader import Key, load
from tests.training.tiny import PICTURES, Proposals, painted

SETTINGS = ("scales=40,48", "zoom_in=2", "colour_jitter=0.2", "aspect_jitter=0.2")
KEYS = [Key(3), Key(0), Key(1, validation=True), Key(4), Key(5)]


def batches(folder: Path) -> MiniBatches:
    return MiniBatches(with_settings(PICTURES, SETTINGS), painted(folder), None, Proposals())


@pytest.mark.system
def test_batches_are_the_same_whoever_makes_them(tmp_path: Path):
    made = batches(tmp_path)
    val = painted(tmp_path)
    state = torch.get_rng_state()
    alone, shared = (list(load(made, val, iter(KEYS), workers=count)) for count in (0, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not multiprocessing.active_children()
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.rois, other.rois) and torch.equal(one.deltas, other.deltas)
        assert torch.equal(one.places, other.places) and one.counts == other.counts
        assert [s.image_id for s in one.samples] == [s.image_id for s in other.samples]
    expected = made.batch(3).images
    assert torch.equal(alone[0].images, expected)
    part = next(load(made, None, iter(KEYS), share=(1, 2)))
    assert torch.equal(part.places, alone[0].places[1:])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.system)])
def test_a_picture_that_is_gone_is_one_sentence(tmp_path: Path, workers: int):
    made = batches(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(FastRCNNError) as caught:
        next(load(made, None, iter(KEYS), workers=workers))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_picture_of_another_size_is_named(tmp_path: Path):
    made = batches(tmp_path)
    for path in tmp_path.glob("*.png"):
        path.write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(DataError, match="annotation says"):
        list(load(made, None, (Key(i) for i in range(6))))
