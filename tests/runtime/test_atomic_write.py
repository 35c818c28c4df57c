import os
import time
from pathlib import Path

import pytest

from fastrcnn.runtime.atomic_write import atomic_write, remove_parts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "answer.json"
    path.write_text("old")
    return path


def test_the_old_content_stays_until_the_new_takes_its_place_in_one_step(path: Path):
    with atomic_write(path) as part:
        part.write_text("ne")
        assert path.read_text() == "old"
        part.write_text("new")
        file = part.stat().st_ino
    assert path.read_text() == "new"
    assert path.stat().st_ino == file  # moved, not copied: a copy could be seen half made
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_when_something_goes_wrong_nothing_has_happened(path: Path, error: type[BaseException]):
    with pytest.raises(error), atomic_write(path) as part:
        part.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_a_library_made_private_gets_the_permissions_of_every_other(tmp_path: Path):
    path, other = tmp_path / "model.safetensors", tmp_path / "other"
    other.touch()
    with atomic_write(path) as part:
        (tmp_path / "private").touch(mode=0o600)
        os.replace(tmp_path / "private", part)
    assert path.stat().st_mode == other.stat().st_mode


def test_two_writers_do_not_meet(path: Path):
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_a_name_as_long_as_may_be(tmp_path: Path):
    path = tmp_path / ("x" * 255)
    with atomic_write(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_only_what_was_left_half_written_is_removed(path: Path):
    with pytest.raises(OSError), atomic_write(path) as part:
        raise OSError
    part.write_text("half")
    remove_parts(path.parent, part.stat().st_mtime - 1)
    assert part.exists()
    remove_parts(path.parent, time.time() + 1)
    assert os.listdir(path.parent) == [path.name]
