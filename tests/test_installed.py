"""The wheel in an environment outside the repository: its command and its page, without network.

The other packages are those of this environment, so nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement

import fastrcnn
from tests.server import Server

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
HORSES = r"horses\.jpg: \d+ found in \d+\.\d s\n(  \w+ +0\.\d+  .*\n)*  horse "


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel, and with the source archive that the wheel was made from."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return place


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def place(wheel, tmp_path_factory) -> Path:
    """A folder with a photograph, and the environment `venv` with the wheel."""
    place = tmp_path_factory.mktemp("outside")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    install = [sys.executable, "-m", "pip", "--python", place / "venv", "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", wheel], check=True)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copy(ROOT / "assets" / "horses.jpg", place)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Without the settings of these tests, and with a proxy that refuses all other hosts."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    ours = ("PYTHON", "FASTRCNN_", "GRADIO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | nowhere | {"no_proxy": "localhost,127.0.0.1", "PYTHONUNBUFFERED": "1"}


def run(place: Path, environment: dict[str, str], *command: str) -> str:
    script = [place / "venv" / "bin" / command[0], *command[1:]]
    done = subprocess.run(script, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_what_the_program_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"fastrcnn", f"fastrcnn-{fastrcnn.__version__}.dist-info"}
    inside = {name.removeprefix("fastrcnn/") for name in names}
    for path in [*(ROOT / "fastrcnn").rglob("*.*"), *ROOT.glob("checkpoints/*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            base = ROOT / "fastrcnn" if path.is_relative_to(ROOT / "fastrcnn") else ROOT
            assert str(path.relative_to(base)) in inside
    assert {f"assets/{path.name}" for path in ROOT.glob("assets/*.jpg")} < inside
    assert not any(name.endswith((".png", ".ipynb", ".pyc")) for name in names)


def listed(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {str(Requirement(line)) for line in lines if line and line[0] != "#"}


def test_the_wheel_requires_what_the_files_of_requirements_list(wheel):
    with zipfile.ZipFile(wheel) as files:
        (path,) = (name for name in files.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(files.read(path).decode())
    required: dict[str, set[str]] = {}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, extra = line.partition("extra == ")
        requirement = requirement.rstrip("; ").removesuffix(" and")
        required.setdefault(extra.strip("'"), set()).add(str(Requirement(requirement)))
    assert required.keys() == {"", "page", "train", "mcp", "onnx", "svm", "mat", "dev"}
    package = listed("requirements.txt")
    assert required[""] | required["page"] == package and required["train"] < package
    tests = {line for line in listed("requirements-dev.txt") if "contrib" not in line}
    assert required["dev"] == tests - package


def test_the_source_archive_has_the_tests_and_the_documents(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"app.py", "README.md", "tests/test_installed.py", "requirements.txt"} < names
    assert "docs/architecture.svg" in names


def test_the_installed_command_detects_without_the_extras(place, environment, tmp_path):
    for name in ("gradio", "matplotlib", "mcp", "onnxscript", "pandas", "starlette"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    core = environment | {"PYTHONPATH": str(tmp_path)}
    assert run(place, core, "fastrcnn", "--version") == f"fastrcnn {fastrcnn.__version__}\n"
    assert re.match(HORSES, run(place, core, "fastrcnn", "detect", "horses.jpg"))
    where = run(place, core, "python", "-c", "import fastrcnn.training as t; print(t.__file__)")
    assert where.startswith(str(place))


def test_the_installed_page_opens(place, environment):
    server = Server(place, [place / "venv" / "bin" / "fastrcnn", "app"], environment)
    try:
        with urlopen(server.address) as answer:
            page = answer.read().decode()
        assert "Fast R-CNN" in page and "horses" in page  # one of the example photographs
    finally:
        server.close()
