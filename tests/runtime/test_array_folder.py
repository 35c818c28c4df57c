import os

import numpy as np
import pytest

from fastrcnn.errors import DataError
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.runtime.array_folder import default_cache, trim_cache
from tests.proposals.test_cache import SINGLE, annotation, files


def test_trimming_deletes_what_was_written_first_and_it_is_made_again(tmp_path):
    root = tmp_path / "cache"
    several = [annotation(tmp_path, str(seed), seed) for seed in range(3)]
    cache = ProposalCache(SINGLE, root)
    boxes = [cache.get(one) for one in several]
    paths = [cache._arrays.path(one.path) for one in several]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1e9 - age, 1e9 - age))
    (root / "pictures.npy").write_bytes(bytes(10_000))  # not one of ours
    trim_cache(root, sum(path.stat().st_size for path in paths))
    assert all(path.exists() for path in paths)
    trim_cache(root, paths[2].stat().st_size)
    assert [path.exists() for path in paths] == [False, False, True]
    trim_cache(root, 0)
    assert files(root) == {"pictures.npy"}
    assert all(np.array_equal(cache.get(one), b) for one, b in zip(several, boxes, strict=True))
    trim_cache(tmp_path / "nowhere", 0)


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    one = annotation(tmp_path, "one", 1)
    cache = ProposalCache(SINGLE, tmp_path / "cache")
    boxes = cache.get(one)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert np.array_equal(cache.get(one), boxes)
    assert file.read_bytes() == whole


def test_errors_name_the_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="--cache"):
        ProposalCache(SINGLE, tmp_path / "file")


def test_the_environment_names_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
