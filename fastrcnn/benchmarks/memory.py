"""What a process needs: memory while it detects, and seconds until it answers.

Each figure comes from a fresh process, because earlier work changes how much memory is in use.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import cv2
import numpy as np
from PIL import Image

from fastrcnn.data import draw_shapes
from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.runtime.allocator import release_memory
from fastrcnn.runtime.shipped import shipped

T = TypeVar("T")

_ROOT = Path(__file__).parents[2]  # the folder in which `-m` finds the package
_PHOTOGRAPH = shipped("assets") / "cow.jpg"
_LARGE = (4000, 3000)  # the size of a phone's photographs
_LOOKED_AT = (20, 100, 200)  # memory is read after this many pictures
_SIDES = (250, 800)  # the smallest and the largest side of those pictures
_PATIENCE = 120.0  # seconds to wait for the page
_DETECT = """
import sys
from fastrcnn.cli import main
from fastrcnn.benchmarks.memory import status
code = main(sys.argv[1:])
print(status()["VmHWM"])
sys.exit(code)
"""


@dataclass(frozen=True)
class Memory:
    """The memory of the command `detect`, in MB of 10^6 bytes.

    peak: the largest use for one photograph, by its size. after: the use after a number of
    pictures of all sizes in one process. most: the largest use for all those pictures.
    """

    peak: dict[str, float]
    after: dict[int, float]
    most: float


@dataclass(frozen=True)
class Start:
    """Seconds from the start of Python until `import fastrcnn` is done, and until the page has
    answered with its first page. Each is the median of several turns."""

    imported: float
    first_page: float


def measure_memory(looked_at: Sequence[int] = _LOOKED_AT) -> Memory:
    """Run `detect` in fresh processes. Raises FastRCNNError if the system does not say."""
    status()
    # First, because it takes 40 MB more to compile, and the others find what this one compiled.
    held, most = _in_fresh_process(_over_many, tuple(looked_at))
    with TemporaryDirectory(prefix="fastrcnn-bench-") as folder:
        large = Path(folder) / "large.jpg"
        with Image.open(_PHOTOGRAPH) as photograph:
            sizes = ["{} x {}".format(*photograph.size), "{} x {}".format(*_LARGE)]
            photograph.resize(_LARGE).save(large)
        peaks = [_peak(photo) for photo in (_PHOTOGRAPH, large)]
    peak, after = zip(sizes, peaks, strict=True), zip(looked_at, held, strict=True)
    return Memory(dict(peak), dict(after), most)


def measure_start(turns: int = 3) -> Start:
    """Start Python and the page `turns` times. Raises FastRCNNError if no page comes."""
    imported, first_page = [], []
    for _ in range(turns):
        imported.append(_seconds_to_import())
        first_page.append(_seconds_to_page())
    return Start(statistics.median(imported), statistics.median(first_page))


def _in_fresh_process(work: Callable[..., T], *arguments: object) -> T:
    # Spawned, because a fork would start with this process's memory.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _peak(photo: Path) -> float:
    """The memory of the command in its own process, started as a user starts it."""
    command = [sys.executable, "-c", _DETECT, "detect", str(photo)]
    done = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def _over_many(looked_at: Sequence[int]) -> tuple[list[float], float]:
    detector, random, held = Detector.from_checkpoint(), np.random.default_rng(0), []
    for number in range(1, max(looked_at) + 1):
        size = tuple(random.integers(*_SIDES, 2, endpoint=True).tolist())
        detector(cv2.resize(draw_shapes(number)[0], size))
        release_memory()  # as the command does
        if number in looked_at:
            held.append(status()["VmRSS"])
    return held, status()["VmHWM"]


def status() -> dict[str, float]:
    """This process's memory in MB, as Linux reports it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise FastRCNNError("Memory can be measured on Linux only.") from error
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(kilobytes) * 1024 / 1e6 for name, kilobytes, _ in fields}


def _seconds_to_import() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fastrcnn"], cwd=_ROOT, check=True)
    return time.perf_counter() - start


def _seconds_to_page() -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastrcnn", "app"],
        cwd=_ROOT,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}"):
            if process.poll() is not None or time.perf_counter() - start > _PATIENCE:
                raise FastRCNNError("app.py did not answer; start it by hand to see why.")
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        # Ignore any proxy that the environment names.
        with build_opener(ProxyHandler({})).open(address, timeout=_PATIENCE) as page:
            return b"Fast R-CNN" in page.read()
    except (URLError, ConnectionError):
        return False
