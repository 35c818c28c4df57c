"""Where what visitors send lies, and when it goes."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastrcnn.ui.hosting import uploads

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(uploads, "FILES", tmp_path)
    return tmp_path


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def sent(content: bytes, seconds: float = 0.0) -> Path:
    path = uploads.new_folder() / "picture.png"
    path.write_bytes(content)
    return aged(path, seconds)


def test_it_is_closed_to_other_users_and_the_one_that_gradio_serves():
    from gradio.utils import get_upload_folder

    uploads.prepare()
    assert stat.S_IMODE(uploads.FOLDER.stat().st_mode) == 0o700
    assert get_upload_folder() == str(uploads.FILES)
    assert uploads.FILES.parent == uploads.FOLDER


def test_no_two_files_are_in_one_place_and_none_can_be_guessed(files):
    places = {uploads.new_folder() for _ in range(50)}
    assert len(places) == 50 and all(len(place.name) >= 20 for place in places)


def test_old_files_go_and_their_folders_after_them(files):
    old, young = sent(b"old", 700), sent(b"young", 500)
    uploads.sweep(600)
    assert not old.exists() and young.exists() and old.parent.exists()
    aged(old.parent, 100)
    uploads.sweep(600)
    assert not old.parent.exists()
    assert young.read_bytes() == b"young"


def test_a_file_that_was_never_sent_to_its_end_goes_sooner(files):
    stalled, coming = files / "tmpabc", files / "tmpdef"
    for path, seconds in ((stalled, 61), (coming, 30)):
        path.write_bytes(b"half")
        aged(path, seconds)
    uploads.sweep(600)
    assert not stalled.exists() and coming.exists()


def test_gone_files_are_not_remembered(files):
    old, young = sent(b"old", 700), sent(b"young")
    known = {str(old), str(young)}
    uploads.sweep(600, [known, set()])
    assert known == {str(young)}


def test_the_size_is_that_of_all_files_and_small_ones_count_too(files):
    assert uploads.size() == 0
    for length in (uploads.LEAST_SIZE, 3 * uploads.LEAST_SIZE, 5):
        sent(bytes(length))
    (files / "tmpabc").write_bytes(bytes(uploads.LEAST_SIZE))  # counted by whoever takes it in
    assert uploads.size() == 5 * uploads.LEAST_SIZE


PROGRAM = """
import os, signal, sys
from fastrcnn.ui.hosting import uploads
print(uploads.prepare(), flush=True)
(uploads.new_folder() / "picture.png").write_bytes(b"x")
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "waits":
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks that end with their process")
def test_what_a_killed_page_left_goes_when_the_next_one_starts(tmp_path):
    def start(how: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def place_of(process: subprocess.Popen) -> Path:
        return Path(process.stdout.readline().strip())

    waits = start("waits")
    living = place_of(waits)
    try:
        killed = start("killed")
        left = place_of(killed)
        killed.communicate()
        assert left.exists() and left.parent == tmp_path
        ends = start("ends")
        own = place_of(ends)
        ends.communicate()
        assert ends.returncode == 0
        assert not left.exists() and not own.exists()
        assert (living / "files").is_dir()
    finally:
        waits.communicate()
    assert list(tmp_path.iterdir()) == []
