"""Any build of OpenCV will do: only the comparisons need the modules of its contrib builds."""

from __future__ import annotations

import subprocess
import sys

# What a plain build looks like to a program.
WITHOUT_CONTRIB = """
import sys, cv2
if hasattr(cv2, "ximgproc"):
    del cv2.ximgproc
sys.modules["cv2.ximgproc"] = None
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_CONTRIB + program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )


COMMAND = "from fastrcnn.__main__ import main; sys.exit(main(sys.argv[1:]))"


def test_a_photograph_is_detected_without_contrib(tmp_path):
    found = tmp_path / "found.json"
    done = run(COMMAND, "detect", "assets/chelsea.jpg", "--json", str(found))
    assert done.returncode == 0, done.stderr
    assert '"cat"' in found.read_text()


def test_the_comparison_says_in_one_sentence_what_it_needs():
    done = run(COMMAND, "bench", "proposals", "--turns", "1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "OpenCV's selective search needs opencv-contrib-python-headless" in line
