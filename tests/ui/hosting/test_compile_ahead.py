"""Selective search is compiled by a helper, which analyses wait for and which outlives nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastrcnn.proposals import selective_search
from fastrcnn.ui import api, sessions
from fastrcnn.ui.hosting import compile_ahead

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty folder for compiled code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def helper(monkeypatch):
    """Starts the helper; gives its process."""
    monkeypatch.setattr(compile_ahead, "_helper", None)

    def start() -> subprocess.Popen:
        compile_ahead.start()
        return compile_ahead._helper

    yield start
    if compile_ahead._helper is not None:
        compile_ahead._helper.kill()
        compile_ahead._helper.communicate()


def compiled(cache: Path) -> dict[str, int]:
    """What lies in a cache, and when each file was written."""
    return {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.nb*")}


@pytest.mark.system
def test_the_helper_compiles_all_that_selective_search_needs(cache, helper):
    process = helper()
    compile_ahead.wait()
    assert process.returncode == 0
    before = compiled(cache)
    assert before
    code = (
        "from fastrcnn.images import load_image; from fastrcnn.proposals import MODES; "
        "from fastrcnn.proposals import selective_search as search; "
        f"[search(load_image({str(ROOT / 'assets' / 'cow.jpg')!r}), mode) for mode in MODES]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert compiled(cache) == before


def test_without_a_helper_nobody_waits(monkeypatch):
    monkeypatch.setattr(compile_ahead, "_helper", None)
    compile_ahead.wait()


def test_who_waits_goes_on_when_the_helper_has_ended(monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(compile_ahead, "_helper", process)
    waiting = [threading.Thread(target=compile_ahead.wait) for _ in range(2)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    assert all(thread.is_alive() for thread in waiting)
    process.communicate()  # it ends with an error, which is no reason to wait
    for thread in waiting:
        thread.join(60)
    assert process.returncode != 0 and not any(thread.is_alive() for thread in waiting)


def test_a_helper_that_does_not_end_is_not_waited_for(monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(compile_ahead, "_helper", process)
    monkeypatch.setattr(compile_ahead, "_LONGEST", 0.05)
    compile_ahead.wait()
    assert process.poll() is None
    process.communicate()


def test_analyses_and_endpoints_wait_for_the_helper(monkeypatch, detector, scene):
    """Each of them before selective search is called."""
    done: list[str] = []
    monkeypatch.setattr(compile_ahead, "wait", lambda: done.append("waited"))
    analyses = sessions.Analyses(detector)
    stages = detector.stages

    def noted(picture):
        done.append("searched")
        yield from stages(picture)

    monkeypatch.setattr(detector, "stages", noted)
    list(analyses.analyse(sessions.Analysis("a.jpg", detector), scene))
    list(analyses.analyse(sessions.Analysis("b.jpg", detector, example="b"), scene))
    assert done == ["waited", "searched"] * 2
    assert api.compile_ahead is sessions.compile_ahead is compile_ahead
    assert selective_search(scene, "single").boxes.size


PARENT = """
import sys, time
from fastrcnn.ui.hosting import compile_ahead
compile_ahead.start()
print(compile_ahead._helper.pid, flush=True)
if sys.argv[1] == "waits":
    time.sleep(600)
"""


def is_running(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1]
    except FileNotFoundError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["ends", signal.SIGTERM, signal.SIGKILL])
@pytest.mark.system
def test_no_helper_outlives_its_page(cache, how):
    argument = "ends" if how == "ends" else "waits"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, argument], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    process = int(parent.stdout.readline())
    if how != "ends":
        assert is_running(process)
        os.kill(parent.pid, how)
    parent.communicate()
    until(lambda: not is_running(process))
    assert len(compiled(cache)) < 24  # it had not come to its end by itself
