import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastrcnn import distributed
from fastrcnn.errors import RecipeError
from fastrcnn.training import read_metrics
from tests.training.tiny import trainer

ROOT = Path(__file__).parents[1]


def test_one_process_needs_no_group():
    distributed.init()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.gather_objects("mine") == ["mine"]
    assert distributed.broadcast_object("mine") == "mine"
    assert distributed.add_up(torch.ones(2)).tolist() == [1, 1]
    distributed.shutdown()


def test_two_processes_train_as_one_does(tmp_path: Path):
    settings = (
        *("dropout=0", "iterations=9", "average_last=0.5"),
        *("images_per_batch=4", "validation_fraction=0.3"),
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "tests.training.tiny", tmp_path / "two", "9"),
            *settings,
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=600,
    )
    list(trainer(tmp_path / "one", *settings, pictures=9))
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [line["event"] for line in two] == [line["event"] for line in one]
    for line, other in zip(one, two, strict=True):
        numbers = sorted(line.keys() - {"seconds", "event"})
        assert [other[key] for key in numbers] == pytest.approx([line[key] for key in numbers])
    models = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, tensor in models[0].items():
        assert torch.allclose(tensor, models[1][name], atol=1e-6), name


def test_pictures_must_share_out_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    with pytest.raises(RecipeError, match="multiple of the number of processes"):
        trainer(tmp_path, "images_per_batch=2")
