"""The checkpoint that ships, on the photographs that ship, none of which it was trained on."""

from pathlib import Path

import pytest

from fastrcnn.data import VOC_CLASSES
from fastrcnn.detector import Detector
from fastrcnn.model.checkpoint import DEFAULT_CHECKPOINT
from fastrcnn.model.weights import IMAGENET_WEIGHTS

ASSETS = Path(__file__).parents[1] / "assets"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shipped() -> Detector:
    return Detector.from_checkpoint(DEFAULT_CHECKPOINT)


@pytest.mark.parametrize(
    ("photo", "name", "count"),
    [
        ("astronaut", "person", 1),
        ("chelsea", "cat", 1),
        ("cow", "cow", 1),
        ("sheep", "sheep", 1),
        ("shepherd-dog", "dog", 1),
        ("horses", "horse", 3),
    ],
)
def test_finds_what_the_photograph_shows(shipped, photo, name, count):
    found = shipped(ASSETS / f"{photo}.jpg", score_threshold=0.6)
    assert found.names.count(name) >= count


def test_says_what_it_is_and_where_it_came_from(shipped):
    assert shipped.classes == VOC_CLASSES
    assert {"recipe", "data", "metrics", "licences"} <= shipped.metadata.keys()
    assert "Simonyan" in str(shipped.metadata["licences"])


def test_is_small_enough_to_ship():
    assert DEFAULT_CHECKPOINT.stat().st_size <= 60 * MEGABYTE
    assert IMAGENET_WEIGHTS.stat().st_size <= 60 * MEGABYTE


def test_every_photograph_that_ships_has_its_credit():
    credits = (ASSETS / "README.md").read_text()
    photos = sorted(ASSETS.glob("*.jpg"))
    assert len(photos) >= 11
    for photo in photos:
        assert photo.name in credits
