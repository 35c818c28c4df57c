"""Any build of OpenCV will do: only the comparisons need the modules of its contrib builds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fastrcnn.data import write_shapes

pytestmark = pytest.mark.system

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


COMMAND = "from fastrcnn.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_photograph_is_detected_without_contrib(tmp_path):
    found = tmp_path / "found.json"
    done = run(COMMAND, "detect", "assets/chelsea.jpg", "--json", str(found))
    assert done.returncode == 0, done.stderr
    assert '"cat"' in found.read_text()


def test_the_comparisons_say_in_one_sentence_what_they_need(tmp_path):
    needed = "OpenCV's selective search needs opencv-contrib-python-headless"
    data = write_shapes(tmp_path / "set", train=1, val=2, test=1)
    # One process runs both, since its start takes longer.
    done = run(
        "from fastrcnn.cli import main\n"
        "assert main(['bench', 'proposals', '--turns', '1', '--json', sys.argv[1]]) == 0\n"
        "print('---', file=sys.stderr)\n"
        "sys.exit(main(['recall', '--data', sys.argv[2], '--json', '-']))\n",
        str(tmp_path / "bench.json"),
        str(data),
    )
    assert done.returncode == 0, done.stderr
    bench, recall = done.stderr.split("---\n")
    (line,) = [line for line in bench.splitlines() if "Compiling" not in line]
    assert line.startswith("proposals: ") and needed in line
    assert needed in recall
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert row["method"] == "fastrcnn, fast" and row["recall"] > 0.9
