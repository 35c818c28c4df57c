"""Fifty kills, and full and read-only disks: what was whole stays whole, and runs go on."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from fastrcnn.cli import shared
from fastrcnn.errors import CheckpointError, DataError, FastRCNNError
from fastrcnn.images import save_image
from fastrcnn.model import load_checkpoint, save_checkpoint
from fastrcnn.model.backbone import BACKBONES
from fastrcnn.proposals import MODES
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.training import plot_losses, read_metrics
from fastrcnn.training.run_folder import load_state, save_state
from tests.model.tiny import tiny_backbone, tiny_model
from tests.training import kills
from tests.training.tiny import trainer

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
KILLS = {"training": 26, "states": 8, "checkpoints": 8, "cache": 8}


def test_there_are_fifty():
    assert sum(KILLS.values()) == 50


def losses(folder: Path) -> list[tuple]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [(line["event"], line["iteration"], line["loss"], line["loss_loc"]) for line in lines]


def test_a_run_killed_again_and_again_goes_on_as_an_unbroken_one(tmp_path: Path):
    settings = ("iterations=100000", "checkpoint_minutes=0", "rois_per_batch=4", "average_last=1")
    for _ in range(KILLS["training"]):
        kills.kill(kills.train, tmp_path / "killed", settings, within=0.6)
    reached = load_state(tmp_path / "killed" / "state.safetensors")[1]["position"]["iteration"]
    assert reached > 0
    # As a kill within a write leaves it, which not every test run has the luck to hit.
    (tmp_path / "killed" / ".state.safetensors.left.part").write_bytes(b"half")
    for name in ("killed", "whole"):
        kills.run(kills.train, tmp_path / name, settings, reached + 10)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    killed, whole = (
        load_state(tmp_path / name / "state.safetensors") for name in ("killed", "whole")
    )
    assert killed[1] == whole[1] | {"position": killed[1]["position"]}
    assert killed[0].keys() == whole[0].keys()
    assert all(torch.equal(killed[0][name], whole[0][name]) for name in whole[0])
    assert {path.name for path in (tmp_path / "killed").iterdir()} <= {
        *("metrics.jsonl", "loss.png", "state.safetensors")
    }


def test_a_state_is_whole_whenever_its_writer_is_killed(tmp_path: Path):
    path = tmp_path / "state.safetensors"
    for _ in range(KILLS["states"]):
        kills.kill(kills.write_states, path, within=0.2)
        tensors, header = load_state(path)
        assert tensors["values"].eq(header["number"]).all()


def test_a_checkpoint_is_whole_whenever_its_writer_is_killed(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "vgg16", tiny_backbone)
    path = tmp_path / "model.safetensors"
    for _ in range(KILLS["checkpoints"]):
        kills.kill(kills.write_checkpoints, path, within=0.3)
        model, metadata = load_checkpoint(path)
        assert model.head.fc6.bias.eq(metadata["number"]).all()
        assert model.head.fc7.bias.eq(metadata["number"]).all()


def test_what_a_cache_holds_is_whole_whenever_its_writer_is_killed(tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        (pictures / f"{number}.png").write_bytes(bytes([number]))
    for _ in range(KILLS["cache"]):
        kills.kill(kills.fill_cache, tmp_path / "cache", pictures, within=0.2)
        folder = kills.cached(tmp_path / "cache")
        paths = {number: folder.path(pictures / f"{number}.png") for number in range(20)}
        there = {number: path for number, path in paths.items() if path.exists()}
        assert there
        for number, path in there.items():
            assert np.array_equal(np.load(path), kills.array(number))


def test_what_killed_writers_left_is_cleared_but_not_what_is_being_written(tmp_path: Path):
    folder = kills.cached(tmp_path).folder
    old, new = folder / ".old.part", folder / ".new.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    kills.cached(tmp_path)
    assert not old.exists() and new.exists()


def test_search_processes_end_with_a_killed_parent(tmp_path: Path):
    """Waiting for a word from a parent that is gone, they would stay for ever."""
    code = (
        "import os, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import multiprocessing\n"
        "from fastrcnn.proposals.cache import _start_worker\n"
        "if __name__ == '__main__':\n"
        "    fresh = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, fresh, _start_worker)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while running(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# Disks that are full, and folders that are not to be written to


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system itself refuses to write more, whoever asks: Python, Rust or C."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(params=["full", "read-only"])
def disk(request, tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None], str]]:
    """A file system of half a megabyte, what makes it unwritable, and what errors then say.

    Only root may mount one; for others the tests that use `no_file_larger_than` stand alone.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")

    def spoil() -> None:
        if request.param == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            return
        with (folder / "rest").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))

    message = {"full": "No space left", "read-only": "Read-only file system"}[request.param]
    yield folder, spoil, message
    subprocess.run(["umount", str(folder)], check=True)


def files(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "rest"
    }


def sentence(message: str) -> str:
    assert "\n" not in message and message.endswith("."), message
    return message


def write_everything(folder: Path) -> Iterator[Callable[[], None]]:
    """What writes files: each can be called before and after the disk is spoilt."""
    state = {"values": torch.zeros(10_000)}
    metrics = [{"event": "step", "iteration": 1, "loss": 1.0, "loss_cls": 0.5, "loss_loc": 0.5}]

    def plot() -> None:
        try:
            plot_losses(metrics, folder / "loss.png")
        except OSError as error:
            raise DataError(f"{error}.") from error

    yield lambda: save_state(folder / "state.safetensors", state, {})
    yield lambda: save_checkpoint(folder / "model.safetensors", tiny_model())
    yield plot
    yield lambda: shared.write_json(["answer"] * 2000, str(folder / "answer.json"))
    yield lambda: save_image(folder / "drawn.png", np.zeros((9, 9, 3), np.uint8))


def test_an_unwritable_disk_is_one_sentence_and_earlier_results_stay(disk):
    folder, spoil, message = disk
    writers = list(write_everything(folder))
    for write in writers:
        write()
    before = files(folder)
    assert len(before) == len(writers)
    spoil()
    for write in writers:
        with pytest.raises(FastRCNNError, match=message) as caught:
            write()
        sentence(str(caught.value))
        assert files(folder) == before


def test_a_cache_on_an_unwritable_disk(disk, tmp_path: Path):
    folder, spoil, message = disk
    made = kills.cached(folder)
    path = made.folder / "1.npy"
    small = np.zeros(10)
    made.get(path, lambda: small)
    before = files(folder)
    spoil()
    assert np.array_equal(made.get(path, lambda: None), small)
    with pytest.raises(DataError, match=rf"{message}.*--cache"):
        made.get(made.folder / "2.npy", lambda: np.zeros(10_000))
    assert files(folder) == before
    if "Read-only" in message:
        with pytest.raises(DataError, match=rf"{message}.*--cache"):
            ProposalCache(MODES["single"], folder)


def test_a_run_on_an_unwritable_disk_goes_on_where_there_is_room(disk, tmp_path: Path):
    folder, spoil, message = disk
    settings = ("iterations=40", "checkpoint_minutes=0")
    run = trainer(folder / "run", *settings)
    while run.iteration < 5:
        next(run)
    spoil()
    with pytest.raises((DataError, CheckpointError), match=message) as caught:
        list(run)
    sentence(str(caught.value))
    subprocess.run(["cp", "-r", folder / "run", tmp_path / "run"], check=True)
    resumed = trainer(tmp_path / "run", *settings, resume=True)
    assert resumed.iteration >= 4
    list(resumed)
    list(trainer(tmp_path / "whole", *settings))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_files_that_the_system_will_not_let_grow(tmp_path: Path):
    writers = list(write_everything(tmp_path / "results"))
    (tmp_path / "results").mkdir()
    for write in writers:
        write()
    before = files(tmp_path / "results")
    with no_file_larger_than(60):
        for write in writers:
            with pytest.raises(FastRCNNError) as caught:
                write()
            assert "large" in sentence(str(caught.value))
    assert files(tmp_path / "results") == before


@pytest.mark.parametrize("where", ["standard output", "--json"])
def test_an_answer_that_finds_no_room(photo, tmp_path: Path, where: str):
    command = [sys.executable, "-m", "fastrcnn", "proposals", str(photo), "--mode", "single"]
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [*command, *(["--json", "/dev/full"] if where == "--json" else [])],
            cwd=ROOT,
            env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
            stdout=subprocess.DEVNULL if where == "--json" else full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert run.returncode == 1
    assert "No space left on device" in sentence(run.stderr.removesuffix("\n"))
    assert run.stderr.startswith("error: ")
