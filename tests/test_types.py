"""Whoever uses the package gets its types. `.ci/run` checks the package's own with mypy."""

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


def test_whoever_uses_the_package_gets_its_types(tmp_path):
    assert (ROOT / "fastrcnn" / "py.typed").is_file()
    (tmp_path / "user.py").write_text(AS_A_USER)
    # Its cache is where it always is, so that whoever has run it before waits a moment only.
    output = subprocess.run(
        [sys.executable, "-m", "mypy", str(tmp_path / "user.py")],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    ).stdout
    assert 'Revealed type is "fastrcnn.detections.Detections"' in output
    assert 'has no attribute "scroes"' in output and "Found 1 error" in output
