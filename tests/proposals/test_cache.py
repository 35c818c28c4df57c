import cv2
import numpy as np
import pytest

from fastrcnn.data import Annotation
from fastrcnn.errors import DataError
from fastrcnn.images import load_image
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.proposals.cache import ProposalCache
from tests.proposals.test_segments import picture

SINGLE = MODES["single"]


def annotation(folder, name: str, seed: int) -> Annotation:
    path = folder / f"{name}.png"
    image = picture(seed)
    cv2.imwrite(str(path), image[..., ::-1])
    height, width = image.shape[:2]
    empty = np.zeros((0, 4), np.float32)
    labels = np.zeros(0, np.int64)
    return Annotation(name, path, width, height, empty, labels, labels.astype(bool))


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.npy")}


def test_proposals_are_selective_searchs_and_come_from_disk_the_second_time(tmp_path, monkeypatch):
    one = annotation(tmp_path, "one", 1)
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    boxes = cache.get(one)
    assert np.array_equal(boxes, selective_search(load_image(one.path), SINGLE).boxes)
    monkeypatch.setattr("fastrcnn.proposals.cache.selective_search", None)
    assert np.array_equal(ProposalCache(SINGLE, tmp_path / "cache").get(one), boxes)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.system)])
def test_fill_makes_what_is_missing(tmp_path, workers, monkeypatch):
    monkeypatch.setattr("fastrcnn.proposals.cache._WORTH_A_PROCESS", 1)
    several = [annotation(tmp_path, str(seed), seed) for seed in range(3)]
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    cache.get(several[1])
    assert len(list(cache.fill(several, workers))) == 3
    assert len(files(tmp_path / "cache")) == 3


def test_another_setting_or_picture_is_another_file(tmp_path):
    one = annotation(tmp_path, "one", 1)
    ProposalCache(SINGLE, tmp_path / "cache").get(one)
    ProposalCache(SINGLE.but(seed=1), tmp_path / "cache").get(one)
    assert len(files(tmp_path / "cache")) == 2
    changed = annotation(tmp_path, "one", 2)
    ProposalCache(SINGLE, tmp_path / "cache").get(changed)
    assert len(files(tmp_path / "cache")) == 3


def test_errors_name_the_picture(tmp_path):
    one = annotation(tmp_path, "one", 1)
    one.path.unlink()
    with pytest.raises(DataError, match=r"one\.png"):
        ProposalCache(SINGLE, tmp_path / "cache").get(one)
