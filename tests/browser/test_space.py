"""The repository as a Hugging Face Space: its own environment, no write access, one page.

What `hf upload` puts there is what is committed, so a clean copy of that is what is started here,
with only the packages that requirements.txt brings.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from playwright.sync_api import expect

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
# Two builds of OpenCV, of which only one can be installed.
PLAIN, CONTRIB = "opencv-python-headless", "opencv-contrib-python-headless"
PATIENCE = 300_000  # milliseconds


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A folder for all of it."""
    place = tmp_path_factory.mktemp("space")
    yield place
    for folder in (place / "app").rglob("*"):
        if folder.is_dir():
            folder.chmod(0o755)
    (place / "app").chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def app(place) -> Path:
    """A clean copy of what is committed, that nobody may write to."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"this is no git checkout to make a clean copy of: {archive.stderr.decode()}")
    folder = place / "app"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


@pytest.fixture(scope="module")
def python(place, app) -> Path:
    """The interpreter of an environment with what requirements.txt brings and nothing else.

    Its packages are links to those of this environment. Installing them again would take minutes
    and gigabytes, and show no more: this environment was installed from the same lines.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    lines = (app / "requirements.txt").read_text().replace(PLAIN, CONTRIB).splitlines()
    for name in required(lines):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():  # one folder may hold parts of several packages
                (packages / top).symlink_to(found.locate_file(top))
    return place / "venv" / "bin" / "python"


def required(lines: list[str]) -> set[str]:
    """The names of the packages that these lines of requirements bring, of all levels."""
    names: set[tuple[str, str]] = set()
    waiting = [Requirement(line) for line in lines]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in names:
                names.add((name, extra))
                needed = map(Requirement, distribution(name).requires or ())
                marked = {"extra": extra}
                waiting += [r for r in needed if not r.marker or r.marker.evaluate(marked)]
    return {name for name, _ in names}


def without_privileges() -> list[str]:
    """The start of a command that root, too, is refused by read-only files."""
    if os.geteuid() != 0:
        return []
    capabilities = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]


@contextmanager
def started(python: Path, app: Path, place: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """app.py with the environment that Spaces give it, and its address."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    temporary = place / "tmp"
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(app),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(app),
        "GRADIO_NUM_PORTS": "1",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "SYSTEM": "spaces",
        "SPACE_ID": "somebody/fastrcnn",
    }
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [*without_privileges(), python, "app.py"],
            cwd=app,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            # Not the address that a page of one's own is served at: all addresses are listened to.
            yield process, f"http://127.0.0.2:{port}/"
        finally:
            process.kill()
            process.wait()


def test_a_clean_copy_with_only_its_requirements_is_a_space(context, place, app, python):
    before = sorted(app.rglob("*"))
    write = [*without_privileges(), python, "-c", "open('mine', 'w')"]
    refused = subprocess.run(write, cwd=app, capture_output=True, text=True)
    assert "PermissionError" in refused.stderr, refused
    with started(python, app, place) as (process, address):
        wait_for_server(process, address, place / "log")
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".explore .status")).to_contain_text("analysed in", timeout=PATIENCE)
        expect(page.locator(".examples button[aria-pressed=true]")).to_have_count(1)
        expect(page.locator("#explore-result .count")).to_contain_text("reached the score")
        assert page.locator(".found tbody tr").count() > 0
        page.get_by_role("tab", name="Train").click()
        expect(page.locator(".go")).to_be_visible()
        expect(page.locator(".folder")).to_be_hidden()  # visitors have no folders there
        page.locator("input[name=pictures]").fill("4")
        page.locator(".one").click()
        expect(page.locator(".train .status")).to_contain_text("Paused.", timeout=PATIENCE)
        assert process.poll() is None
    assert sorted(app.rglob("*")) == before
    # Gradio's thread for reloading misses the package `spaces`, which Spaces have.
    assert not re.search(r'File ".*/fastrcnn/', (place / "log").read_text())


def wait_for_server(process: subprocess.Popen, address: str, log: Path) -> None:
    where = urlsplit(address)
    while process.poll() is None:
        try:
            socket.create_connection((where.hostname, where.port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"app.py ended: {log.read_text()}")
