"""What is compiled is kept: beside the source, else in the user's cache folder, else not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastrcnn

pytestmark = pytest.mark.system

COMPILING = "Compiling selective search for this computer, which takes some seconds."


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A copy of the package in which nothing was compiled yet."""
    source = Path(fastrcnn.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "ui")
    shutil.copytree(source, tmp_path / "installed" / "fastrcnn", ignore=ignored)
    return tmp_path / "installed"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator:
    """A function that makes a folder one that nobody can write to, root neither."""
    mounted = []

    def make(folder: Path) -> None:
        for options in (["--bind"], ["-o", "remount,bind,ro"]):
            command = ["mount", *options, str(folder), str(folder)]
            try:
                done = subprocess.run(command, capture_output=True).returncode == 0
            except FileNotFoundError:
                done = False
            if not done:
                pytest.skip("no file system can be mounted here")
            mounted.append(folder)
        with pytest.raises(OSError):
            (folder / "new").touch()

    yield make
    for folder in set(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("*.nbi"))


def propose(installation: Path, home: Path, photo: Path) -> list[str]:
    """Run `proposals` with this installation; the lines of its standard error."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    environment |= {"PYTHONPATH": str(installation), "HOME": str(home)}
    command = [sys.executable, "-m", "fastrcnn", "proposals", str(photo)]
    run = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "proposals in" in run.stdout
    return run.stderr.splitlines()


def test_the_first_picture_on_a_computer_says_once_that_it_compiles(installation, tmp_path, photo):
    assert propose(installation, tmp_path, photo) == [COMPILING]
    assert kept(installation) and kept(tmp_path) == kept(installation)
    assert propose(installation, tmp_path, photo) == []


def test_an_installation_that_is_read_only_keeps_it_with_the_user(
    installation, tmp_path, photo, read_only
):
    home = tmp_path / "home"
    home.mkdir()
    read_only(installation)
    assert propose(installation, home, photo) == [COMPILING]
    assert kept(home) and not kept(installation)
    assert propose(installation, home, photo) == []


def test_with_no_folder_to_write_to_each_process_compiles(installation, tmp_path, photo, read_only):
    home = tmp_path / "home"
    home.mkdir()
    for folder in (installation, home):
        read_only(folder)
    for _ in range(2):
        assert propose(installation, home, photo) == [COMPILING]
    assert not kept(tmp_path)


def test_what_was_prepared_needs_no_compiling_later(installation, tmp_path):
    code = (
        "import logging, numpy as np\n"
        "from fastrcnn.proposals import MODES, prepare, selective_search\n"
        "prepare()\n"
        "logging.getLogger('fastrcnn').setLevel(logging.INFO)\n"
        "from numba.core import event\n"
        "with event.install_recorder('numba:compile') as recorder:\n"
        "    for side in (1, 60):\n"
        "        noise = np.random.default_rng(1).integers(0, 256, (side, 70, 3), dtype=np.uint8)\n"
        "        for mode in MODES:\n"
        "            selective_search(noise, mode)\n"
        "assert not recorder.buffer\n"
    )
    environment = os.environ | {"PYTHONPATH": str(installation), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
