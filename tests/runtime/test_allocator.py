"""What becomes of memory that was freed."""

import platform
import subprocess
import sys

import pytest

from fastrcnn.runtime import allocator

_CODE = """
import os
from pathlib import Path
from fastrcnn.runtime.allocator import release_memory

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

before = resident()
taken = [bytes(10_000) for _ in range(10_000)]
last = bytes(10_000)  # above the others, so that their memory is not at the heap's end
del taken
assert resident() > before + 80
release_memory()
assert resident() < before + 20
"""

_APART = """
import threading
from pathlib import Path
from fastrcnn.runtime.allocator import keep_apart

def regions():
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, kind, *_, name = line.split()
        first, last = (int(end, 16) for end in place.split("-"))
        yield kind, name, (last - first) / 1e6

def heap():
    return sum(size for _, name, size in regions() if name == "[heap]")

keep_apart()
for _ in range(2):  # what is freed once would be taken from the heap from then on
    before = heap()
    taken = [bytes(20_000_000) for _ in range(5)]
    assert heap() < before + 20
    del taken

before = heap()
taken = [bytes(1_000_000) for _ in range(50)]  # each by itself, they would be slow to come
assert heap() > before + 25

met = threading.Barrier(8)
kept = []

def take():
    met.wait()
    kept.append([bytes(1000) for _ in range(1000)])
    met.wait()

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Each heap beside the first is the beginning of 64 MB that are set aside for it.
assert sum(kind == "---p" and 40 < size < 68 for kind, _, size in regions()) <= 1
"""
_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is asked")


@_GLIBC
def test_freed_memory_is_given_back():
    # In a process of its own: what other tests left free would be taken first.
    assert subprocess.run([sys.executable, "-c", _CODE]).returncode == 0


@_GLIBC
def test_large_tensors_lie_apart_and_threads_share_a_heap():
    assert subprocess.run([sys.executable, "-c", _APART]).returncode == 0


def test_another_c_library_is_left_alone(monkeypatch):
    names = []

    def none_such(name):
        names.append(name)
        raise OSError("no such library")

    monkeypatch.setattr(allocator.ctypes, "CDLL", none_such)
    allocator.release_memory()
    allocator.keep_apart()
    assert len(names) == 2
