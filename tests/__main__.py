"""The test command: `python -m tests`. Brings a Chromium where there is none, then runs every test.

The tests are shared out among processes, one a core and at most four, each with one thread. Two
such processes take little more than half the time of one that uses two cores. Further arguments go
to pytest: `python -m tests -k roi_pool`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chromium import find_chromium, install_chromium


def main() -> int:
    if find_chromium() is None:
        print("No Chromium found: installing one for the browser tests.", file=sys.stderr)
        try:
            install_chromium()
        except (OSError, subprocess.CalledProcessError) as error:
            print(
                f"error: No Chromium could be installed for the browser tests ({error}); install "
                f"Chromium or Chrome by hand and run this again.",
                file=sys.stderr,
            )
            return 1
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A file's tests stay together, since they share what their fixtures made. The files come in the
    # order of tests/conftest.py, not those with the most tests first.
    shared_out = ["--numprocesses=auto", "--maxprocesses=4"]
    shared_out += ["--dist=loadfile", "--no-loadscope-reorder"]
    return pytest.main([str(Path(__file__).parent), *shared_out, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
