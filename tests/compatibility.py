"""The tests with other versions than those of this environment. Not one of the usual tests.

    python -m tests.compatibility lowest --python 3.10

`lowest` takes the lowest versions that requirements-dev.txt allows, `newest` the newest, and
`space` the newest that pre-requirements.txt allows too, as on a Hugging Face Space. Each run makes
an environment of its own, of 5 to 8 GB, in a temporary folder and deletes it at the end. Further
arguments go to pytest, in place of the unit tests and the browser tests. It needs uv, which alone
finds lowest versions: pip install uv.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
# What uv is told, by the name of the versions.
OPTIONS = {
    "lowest": ["--resolution", "lowest-direct"],
    "newest": [],
    "space": ["--constraint", "pre-requirements.txt"],
}
TESTS = (["-m", "not system"], ["-k", "browser"])
SHOWN = ("torch", "torchvision", "numpy", "numba", "gradio", "pydantic", "opencv", "pillow")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("versions", choices=OPTIONS)
    parser.add_argument("--python", required=True, help="the version of Python, such as 3.10")
    options, tests = parser.parse_known_args()
    uv = shutil.which("uv")
    if uv is None:
        print("error: uv is not installed; install it with: pip install uv.", file=sys.stderr)
        return 1
    with TemporaryDirectory(prefix="fastrcnn-compatibility-") as folder:
        environment = Path(folder) / "environment"
        python = str(environment / "bin" / "python")
        subprocess.run([uv, "venv", "--python", options.python, environment], check=True)
        install = [uv, "pip", "install", "--python", python, "-r", "requirements-dev.txt"]
        subprocess.run([*install, *OPTIONS[options.versions]], cwd=ROOT, check=True)
        listed = subprocess.check_output([uv, "pip", "freeze", "--python", python], text=True)
        print(*(line for line in listed.splitlines() if line.startswith(SHOWN)), sep=" ")
        codes = [
            subprocess.run([python, "-m", "tests", *chosen], cwd=ROOT).returncode
            for chosen in ([tests] if tests else TESTS)
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
