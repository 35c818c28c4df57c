"""What is required is used, what is used is required, and the tested set is one that may be."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The first releases without the advisories that were known when this was written.
FIXED = {"gradio": (6, 31), "pillow": (12, 2), "torch": (2, 10)}
# Fuzzing is set up by hand and its tool no requirement of the tests.
OUTSIDE = ROOT / "tests" / "fuzz"
# What is run and not imported.
TOOLS = {
    "build",
    "hatchling",
    "import-linter",
    "ipykernel",
    "mutmut",
    "mypy",
    "pytest-xdist",
    "ruff",
}
# What a part of the package does without until it is asked for, and then says what to install.
OPTIONAL = {"onnxscript", "scikit-learn", "scipy", "supervision"}
# Two builds of OpenCV, of which only one can be installed.
PLAIN, CONTRIB = "opencv-python-headless", "opencv-contrib-python-headless"
# Gradio requires the ones that fit. The package does without pandas too, where there is no Gradio.
WITH_GRADIO = {"gradio-client", "pandas"}


def requirements(name: str) -> dict[str, str]:
    """Distribution -> what may be installed of it."""
    lines = [re.split("[#;]", line)[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [re.fullmatch(r"([\w.-]+)(.*)", line) for line in lines if line and line[0] != "-"]
    return {normal(match[1]): match[2].strip() for match in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def imported(*places: Path) -> set[str]:
    """The distributions that the Python files in `places` import."""
    modules = set()
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*.py"):
            if path.is_relative_to(OUTSIDE):
                continue
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    modules.add(node.module.split(".")[0])
    modules -= sys.stdlib_module_names | {"fastrcnn", "tests", "app"}
    # As packages_distributions does from Python 3.11 on; that of 3.10 leaves most of them out.
    known = {}
    for distribution in distributions():
        record = distribution.read_text("RECORD") or ""
        tops = {re.split(r"[/,.]", line)[0] for line in record.splitlines()}
        known |= dict.fromkeys(tops, distribution.name)
    return {normal(known[module]) for module in modules}


def test_the_tests_require_what_the_package_does_but_for_opencvs_contrib_modules():
    package, tests = requirements("requirements.txt"), requirements("requirements-dev.txt")
    assert tests.pop(CONTRIB) == package.pop(PLAIN)
    assert package.items() <= tests.items()


def test_the_package_imports_what_it_requires_and_nothing_else():
    required = set(requirements("requirements.txt")) - {PLAIN} | {CONTRIB}
    used = imported(ROOT / "fastrcnn", ROOT / "app.py") - WITH_GRADIO
    assert used == required | OPTIONAL


def test_the_tests_import_what_they_require_and_nothing_else():
    required = set(requirements("requirements-dev.txt"))
    package = set(requirements("requirements.txt")) - {PLAIN} | {CONTRIB}
    used = imported(ROOT / "tests") - package - WITH_GRADIO
    assert used | TOOLS | OPTIONAL == required - package


@pytest.mark.parametrize("name", FIXED)
def test_what_had_advisories_is_bounded_below_by_the_release_that_fixed_them(name):
    bounds = requirements("requirements.txt")[name].split(",")
    (lowest,) = (bound for bound in bounds if bound.startswith(">="))
    assert version(lowest) >= FIXED[name]


def test_opencv_is_one_that_can_write_class_names_in_other_scripts():
    # OpenCV 4 draws a question mark for each byte that is not ASCII.
    assert requirements("requirements.txt")[PLAIN] == ">=5.0.0.93"


def test_the_lock_is_a_set_that_the_requirements_allow():
    lock = requirements("requirements-lock.txt")
    assert all(re.fullmatch(r"==[\w.!+]+", pin) for pin in lock.values())
    for name, allowed in requirements("requirements-dev.txt").items():
        pinned = version(lock[name].removeprefix("=="))
        for bound in allowed.split(","):
            limit = version(bound)
            assert pinned >= limit if bound.startswith(">=") else pinned < limit, name
    # No path or host of the machine that it was made on, and not the torch that is not to be used.
    text = (ROOT / "requirements-lock.txt").read_text()
    assert not re.search(r"@|://|--|^/", text, re.MULTILINE)
    assert lock["torch"] != "==2.13.0"
