"""What becomes of memory that was freed."""

import platform
import subprocess
import sys

import pytest

from fastrcnn import allocator

_CODE = """
import os
from pathlib import Path
from fastrcnn.allocator import give_back

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

before = resident()
taken = [bytes(10_000) for _ in range(10_000)]
last = bytes(10_000)  # above the others, so that their memory is not at the heap's end
del taken
assert resident() > before + 80
give_back()
assert resident() < before + 20
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is asked")
def test_freed_memory_is_given_back():
    # In a process of its own: what other tests left free would be taken first.
    assert subprocess.run([sys.executable, "-c", _CODE]).returncode == 0


def test_another_c_library_is_left_alone(monkeypatch):
    asked = []

    def none_such(name):
        asked.append(name)
        raise OSError("no such library")

    monkeypatch.setattr(allocator.ctypes, "CDLL", none_such)
    allocator.give_back()
    assert asked
