"""The small backbone, trained from scratch on a few of the built-in pictures, by the real parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fastrcnn.data import Dataset, open_dataset, write_shapes
from fastrcnn.detector import Detector
from fastrcnn.model import load_checkpoint
from fastrcnn.proposals import MODES
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.training import SHAPES, Step, Trainer, build_model, read_metrics, with_settings
from fastrcnn.training.caches import feature_cache

QUICK = ("proposals_mode=single", "fc6=32", "fc7=32", "shorter=80", "longer=120")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    return open_dataset(write_shapes(tmp_path_factory.mktemp("shapes"), train=4), "train")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def trainer(out: Path, data: Dataset, cache: Path, *settings: str, resume: bool = False) -> Trainer:
    recipe = with_settings(SHAPES, [*QUICK, *settings])
    model = build_model(recipe, data.classes)
    features = feature_cache(recipe, model, cache)
    proposals = ProposalCache(MODES[recipe.proposals_mode], cache)
    return Trainer(
        recipe, model, data, out=out, features=features, proposals=proposals, resume=resume
    )


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in read_metrics(out / "metrics.jsonl") if "lr" in record]


def test_the_same_recipe_starts_from_the_same_weights_and_another_seed_from_others():
    def weights(seed: int) -> dict:
        torch.manual_seed(seed + 10)  # what was drawn before is of no account
        return build_model(with_settings(SHAPES, [f"seed={seed}"]), ("disc",)).state_dict()

    one, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(one[name], again[name]) for name in one)
    for layer in ("backbone.conv1.0", "backbone.conv4.0", "head.fc6"):
        assert not torch.equal(one[f"{layer}.weight"], other[f"{layer}.weight"])


def test_the_loss_falls(tmp_path, data, cache):
    for _ in trainer(tmp_path, data, cache, "iterations=40"):
        pass
    written = losses(tmp_path)
    assert np.mean(written[-8:]) < 0.75 * np.mean(written[:8])


def test_resuming_gives_the_run_that_was_never_stopped_bit_for_bit(tmp_path, data, cache):
    settings = ("iterations=8", "checkpoint_minutes=0", "average_last=0.5")
    for _ in trainer(tmp_path / "whole", data, cache, *settings):
        pass
    first = trainer(tmp_path / "parts", data, cache, *settings)
    for record in first:
        if isinstance(record, Step) and record.iteration == 6:
            first.close()
            break
    for _ in trainer(tmp_path / "parts", data, cache, *settings, resume=True):
        pass
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    parts, whole = (
        load_checkpoint(tmp_path / run / "model.safetensors")[0].state_dict()
        for run in ("parts", "whole")
    )
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_the_checkpoint_is_the_trained_detector(tmp_path, data, cache):
    run = trainer(tmp_path, data, cache, "iterations=2")
    for _ in run:
        pass
    detector = Detector.from_checkpoint(tmp_path / "model.safetensors")
    assert detector.model.config == run.model.config
    state = run.model.state_dict()
    assert all(
        torch.equal(state[name], value) for name, value in detector.model.state_dict().items()
    )
    trace = detector.trace(data[0].path)
    height, width = run.model.config.resize.size(data[0].height, data[0].width)
    assert trace.features.shape == (1, 64, height // 8, width // 8)
    inspection = detector.inspect(trace, torch.tensor(data[0].boxes[0]))
    assert inspection.pooled.shape == (64, 7, 7)
    whole = torch.tensor([[0.0, 0.0, data[0].width, data[0].height]])
    assert detector.score(trace, whole)[0].shape == (1, len(data.classes) + 1)


def test_frozen_at_random_it_trains_from_kept_maps(tmp_path, data):
    run = trainer(tmp_path / "run", data, tmp_path, "first_trainable=fc6", "iterations=2")
    before = run.model.backbone.conv1[0].weight.clone()
    for _ in run:
        pass
    assert torch.equal(run.model.backbone.conv1[0].weight, before)
    kept = [path.name for path in tmp_path.rglob("features-*/*.npy")]
    assert kept and any("flipped" in name for name in kept)
