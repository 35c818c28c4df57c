"""The test command: `python -m tests`. Brings a Chromium where there is none, then runs every test.

Further arguments go to pytest: `python -m tests -k roi_pool`.
"""

from __future__ import annotations

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
    return pytest.main([str(Path(__file__).parent), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
