from pathlib import Path

import pytest

from fastrcnn.runtime import shipped as module
from fastrcnn.runtime.shipped import shipped

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["assets", "checkpoints"])
def test_in_the_repository_the_folders_are_beside_the_package(folder):
    assert shipped(folder) == ROOT / folder and shipped(folder).is_dir()


def test_an_installed_package_has_its_folders_inside(tmp_path, monkeypatch):
    (tmp_path / "fastrcnn" / "assets").mkdir(parents=True)
    (tmp_path / "assets").mkdir()  # another program's
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "fastrcnn")
    assert shipped("assets") == tmp_path / "fastrcnn" / "assets"
