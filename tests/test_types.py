"""mypy, as pyproject.toml sets it up, has nothing to say of the package and the app."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
AS_A_USER = """
from fastrcnn import Detector
found = Detector.from_checkpoint()("photo.jpg", score_threshold=0.6)
reveal_type(found)
found.scroes
"""


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    # Beside the tests' own folders, where it outlives them: the second run takes a moment.
    cache = tmp_path_factory.getbasetemp().parent / "fastrcnn-mypy"

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments],
            cwd=ROOT,
            env=os.environ | {"MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    return run


def test_the_types_are_complete_and_right(mypy):
    checked = mypy()
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_whoever_uses_the_package_gets_its_types(mypy, tmp_path):
    assert (ROOT / "fastrcnn" / "py.typed").is_file()
    (tmp_path / "user.py").write_text(AS_A_USER)
    told = mypy(str(tmp_path / "user.py")).stdout
    assert 'Revealed type is "fastrcnn.detections.Detections"' in told
    assert 'has no attribute "scroes"' in told and "Found 1 error" in told
