import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastrcnn.errors import RecipeError
from fastrcnn.runtime import distributed
from fastrcnn.training import read_metrics
from tests import forks
from tests.training import tiny

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SETTINGS = (
    *("dropout=0", "iterations=9", "average_last=0.5"),
    *("images_per_batch=4", "validation_fraction=0.3"),
)


def test_one_process_needs_no_group():
    distributed.init()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.gather_objects("mine") == ["mine"]
    assert distributed.broadcast_object("mine") == "mine"
    assert distributed.add_up(torch.ones(2)).tolist() == [1, 1]
    distributed.shutdown()


def check_that_it_is_one_run(two: Path, one: Path, settings: tuple[str, ...] = ()) -> None:
    list(tiny.trainer(one, *SETTINGS, *settings, pictures=9))
    alone, shared = (read_metrics(out / "metrics.jsonl") for out in (one, two))
    assert [line["event"] for line in shared] == [line["event"] for line in alone]
    for line, other in zip(alone, shared, strict=True):
        numbers = sorted(line.keys() - {"seconds", "event"})
        assert [other[key] for key in numbers] == pytest.approx([line[key] for key in numbers])
    models = [load_file(out / "model.safetensors") for out in (one, two)]
    for name, tensor in models[0].items():
        assert torch.allclose(tensor, models[1][name], atol=1e-6), name


def test_two_processes_train_as_one_does(tmp_path: Path):
    forks.run_as_group(tiny.run, tmp_path / "two", 9, *SETTINGS)
    check_that_it_is_one_run(tmp_path / "two", tmp_path / "one")


def test_two_processes_cut_fc6_and_find_hard_examples_as_one_does(tmp_path: Path):
    settings = (
        *("average_last=0", "average_decay=0.9", "fc6=24", "svd_rank=4", "svd_at=0.5"),
        *("foreground_candidates=8", "background_candidates=24", "conv_share=0.5", "clip_norm=1"),
    )
    forks.run_as_group(tiny.run, tmp_path / "two", 9, *SETTINGS, *settings)
    check_that_it_is_one_run(tmp_path / "two", tmp_path / "one", settings)


def test_two_machines_train_as_one_does(tmp_path: Path):
    # By the options of torchrun that docs/own-data.md gives, each with a folder of its own.
    text = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    machines = re.findall(r"^torchrun (--nnodes .+?) -m fastrcnn", text, re.MULTILINE)
    port = str(forks.free_port())
    both = []
    for rank, options in enumerate(machines):
        chosen = options.replace("HOST", "127.0.0.1").replace("29500", port).split()
        train = ["-m", "tests.training.tiny", tmp_path / f"machine{rank}", "9", *SETTINGS]
        torchrun = [sys.executable, "-m", "torch.distributed.run", *chosen, *train]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        both.append(subprocess.Popen(torchrun, cwd=ROOT, env=environment))
    assert [run.wait(timeout=600) for run in both] == [0, 0]
    # The first one writes.
    assert not list((tmp_path / "machine1").rglob("*.safetensors"))
    check_that_it_is_one_run(tmp_path / "machine0", tmp_path / "one")


def test_pictures_must_share_out_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    with pytest.raises(RecipeError, match="multiple of the number of processes"):
        tiny.trainer(tmp_path, "images_per_batch=2")
