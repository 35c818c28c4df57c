"""What a power cut would leave of a training, from its system calls in their order.

After a power cut, what was written to a file is there only if an fsync of the file came after it.
A new name may be there at once, and is there for certain after an fsync of its folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
CALLS = "openat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2"


class Disk:
    """What the disk is sure to have. Follows the calls and finds what a power cut could break."""

    def __init__(self, state: Path, metrics: Path) -> None:
        self.state, self.metrics = str(state), str(metrics)
        self.unsure: set[str] = set()  # files whose content is not on the disk yet
        self.unnamed: dict[str, str] = {}  # new names that are not on the disk yet, by folder
        self.replaced: list[str] = []
        self.broken: list[str] = []

    def follow(self, call: str, paths: list[str]) -> None:
        if call in ("fsync", "fdatasync"):
            self.unsure.discard(paths[0])
            self.unnamed.pop(paths[0], None)
        elif call.startswith("rename"):
            self._rename(*paths)
        else:
            self.unsure.add(paths[0])

    def _rename(self, old: str, new: str) -> None:
        whole = old not in self.unsure
        self.unsure.discard(old)
        if new.endswith(".part"):  # no file that anybody reads
            if not whole:
                self.unsure.add(new)
            return
        if not whole:
            self.broken.append(f"{new} has its name before its content")
        if new == self.state and self.metrics in self.unsure:
            self.broken.append("the state counts metrics that may be lost")
        self.broken += [f"{name} may be lost, and work went on" for name in self.unnamed.values()]
        self.unnamed[str(Path(new).parent)] = new
        self.replaced.append(new)


def calls(log: Path, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The calls of all threads that succeeded, each when it ended, and the files they name."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        thread, text = line.split(maxsplit=1)
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = begun.pop(thread) + resumed[1]
        made = re.match(r"(\w+)\((.*)\) += \d", text)
        if made is None or (made[1] == "openat" and not re.search("O_CREAT|O_TRUNC", made[2])):
            continue
        # By descriptor, as in 3</a/file>, or in quotes; what is written is cut to nothing.
        named = re.findall(r'<([^>]+)>|"([^"]+)"', made[2])
        paths = [a or b for a, b in named if (a or b).startswith(str(folder))]
        if paths:
            yield made[1], paths


def test_a_power_cut_leaves_whole_files_and_a_state_without_gaps(tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    out, log = (tmp_path / "run").resolve(), tmp_path / "calls"
    watch = [strace, "-f", "--seccomp-bpf", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", log]
    train = [sys.executable, "-m", "tests.training.tiny", out, "7", "iterations=12"]
    done = subprocess.run([*watch, *train], cwd=ROOT, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not watch here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    disk = Disk(out / "state.safetensors", out / "metrics.jsonl")
    for call, paths in calls(log, out):
        disk.follow(call, paths)
    assert disk.broken == [] and disk.unnamed == {}
    made = {Path(path).name for path in disk.replaced}
    assert {"state.safetensors", "model.safetensors", "loss.png"} <= made


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ("write sync name folder", 0),
        ("write name folder sync", 1),
        ("sync write name folder", 1),
        ("write sync name write sync name folder", 1),
        ("log write sync name folder", 1),
        ("log keep write sync name folder", 0),
    ],
)
def test_the_check_finds_a_wrong_order(order, broken):
    disk = Disk(Path("/run/state"), Path("/run/metrics"))
    for step in order.split():
        call, *paths = {
            "write": ("write", "/run/.tmp"),
            "sync": ("fsync", "/run/.tmp"),
            "name": ("rename", "/run/.tmp", "/run/state"),
            "folder": ("fsync", "/run"),
            "log": ("write", "/run/metrics"),
            "keep": ("fsync", "/run/metrics"),
        }[step]
        disk.follow(call, paths)
    assert len(disk.broken) == broken
