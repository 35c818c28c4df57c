import gc
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fastrcnn.boxes import iou
from fastrcnn.data import Dataset
from fastrcnn.errors import CheckpointError, DataError, RecipeError
from fastrcnn.model import fast_rcnn, load_checkpoint, roi_pool
from fastrcnn.training import (
    CheckpointSaved,
    EpochEnd,
    Finished,
    Progress,
    Recipe,
    Step,
    Trainer,
    Validation,
    build_model,
    plot_losses,
    read_metrics,
)
from fastrcnn.training import run_folder as run_folder_module
from fastrcnn.training import trainer as trainer_module
from fastrcnn.training.feature_cache import FeatureCache
from tests.training.tiny import CLASSES, Proposals, dataset, picture_trainer, trainer

ROOT = Path(__file__).parents[2]


def steps(records) -> list[Step]:
    return [record for record in records if isinstance(record, Step)]


steps_of = steps


def losses(records) -> list[tuple]:
    return [(s.iteration, s.epoch, s.loss, s.loss_cls, s.loss_loc, s.lr) for s in steps(records)]


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots, which would take most of the time."""
    monkeypatch.setattr(run_folder_module, "plot_losses", lambda metrics, path: None)


# What a run tells


def test_the_records_come_in_order(tmp_path: Path):
    run = trainer(tmp_path, "iterations=9", val=dataset(2, first=50))
    kinds = [(type(r), r.iteration) for r in run if not isinstance(r, Progress)]
    assert kinds == [
        *((Step, i) for i in range(1, 8)),
        (Validation, 7),
        (EpochEnd, 7),
        (Step, 8),
        (Step, 9),
        (CheckpointSaved, 9),
        (Validation, 9),
        (EpochEnd, 9),
        (Finished, 9),
    ]


def test_nothing_runs_until_it_is_asked_for(tmp_path: Path):
    run = trainer(tmp_path, "iterations=5")
    before = weights(run)
    features = run._batches._features
    assert features.requests == 0
    for done in range(1, 8):
        assert next(run) == Progress("targets", done, 7)
    assert features.requests == 0
    assert next(run).iteration == run.iteration == 1
    after = weights(run)
    assert not same(before, after)
    time.sleep(0.05)
    assert same(after, weights(run))
    assert features.requests <= 4  # this batch, and at most the next one
    run.close()


def test_a_step_tells_what_was_in_it(tmp_path: Path):
    step = steps(trainer(tmp_path, "iterations=3"))[1]
    assert (step.iteration, step.iterations, step.epoch) == (2, 3, 1)
    assert (step.foreground, step.background) == (4, 12)
    assert step.loss == pytest.approx(step.loss_cls + step.loss_loc)
    assert step.seconds > 0
    assert step.seconds_left > 0
    assert len(step.batch) == 2
    labels = np.concatenate([sample.labels for sample in step.batch])
    assert (np.sum(labels > 0), np.sum(labels == 0)) == (4, 12)


def test_a_step_tells_what_the_network_made_of_each_roi(tmp_path: Path):
    run = trainer(tmp_path, "iterations=3", "smooth_l1_beta=0.5")
    head = run.model.head
    for step in steps(run):
        parts = {
            name: np.concatenate([getattr(outcome, name) for outcome in step.outcomes])
            for name in ("losses_cls", "losses_loc", "predicted", "targets")
        }
        assert parts["losses_cls"].mean() == pytest.approx(step.loss_cls, rel=1e-5)
        assert parts["losses_loc"].mean() == pytest.approx(step.loss_loc, rel=1e-5)
        labels = np.concatenate([sample.labels for sample in step.batch])
        deltas = torch.from_numpy(np.concatenate([sample.deltas for sample in step.batch]))
        wanted = (deltas - head.bbox_mean) / head.bbox_std
        assert parts["targets"] == pytest.approx(wanted.numpy(), abs=1e-5)
        each = F.smooth_l1_loss(
            torch.from_numpy(parts["predicted"]), wanted, reduction="none", beta=0.5
        )
        expected = np.where(labels > 0, each.sum(dim=1).numpy(), 0)
        assert parts["losses_loc"] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert (parts["losses_loc"] > 0).sum() == step.foreground


def test_the_files_hold_what_the_records_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_folder_module, "plot_losses", plot_losses)
    records = list(trainer(tmp_path, "iterations=9", "lr=0.02", val=dataset(2, first=50)))
    kept = [r for r in records if isinstance(r, Step | Validation | EpochEnd)]
    written = read_metrics(tmp_path / "metrics.jsonl")
    names = {Step: "step", Validation: "validation", EpochEnd: "epoch"}
    assert [line["event"] for line in written] == [names[type(record)] for record in kept]
    for line, record in zip(written, kept, strict=True):
        for key in ("iteration", "epoch", "loss", "loss_cls", "loss_loc"):
            assert line[key] == getattr(record, key)
    first, last = (np.array(losses(records))[part, 2:5] for part in (slice(7), slice(7, 9)))
    ends = [record for record in kept if isinstance(record, EpochEnd)]
    for end, mean in zip(ends, (first.mean(0), last.mean(0)), strict=True):
        assert [end.loss, end.loss_cls, end.loss_loc] == pytest.approx(mean.tolist())
    assert Image.open(tmp_path / "loss.png").size == (1200, 360)


# What a run learns


def test_the_loss_falls_and_validation_follows(tmp_path: Path):
    every = dataset()
    settings = ("epochs=14", "optimizer=adam", "dropout=0", "fc6=32", "fc7=32", "rois_per_batch=64")
    records = list(trainer(tmp_path, *settings, val=every))
    ends = [record for record in records if isinstance(record, EpochEnd)]
    validations = [record for record in records if isinstance(record, Validation)]
    for curve in (ends, validations):
        assert curve[-1].loss_cls < 0.8 * curve[0].loss_cls
        assert curve[-1].loss_loc < 0.9 * curve[0].loss_loc


def test_one_sgd_step_is_the_papers_update(tmp_path: Path):
    changed = {}
    for factor, decay in ((1, "false"), (2, "false"), (2, "true")):
        settings = ("iterations=1", "dropout=0", "lr=0.1", "weight_decay=0.3", "conv_lr_factor=0.5")
        settings = (*settings, f"bias_lr_factor={factor}", f"bias_decay={decay}")
        run = trainer(tmp_path / f"{factor}{decay}", *settings)
        before = weights(run)
        before["head.fc7.bias"].fill_(0.5)
        run.model.head.fc7.bias.data.fill_(0.5)
        list(run)
        gradients = {name: p.grad for name, p in run.model.named_parameters() if p.requires_grad}
        after = weights(run)
        for name, gradient in gradients.items():
            bias = name.endswith(".bias")
            rate = 0.1 * (factor if bias else 1) * (0.5 if name.startswith("backbone.") else 1)
            decayed = 0.3 * before[name] if decay == "true" or not bias else 0
            assert torch.allclose(after[name], before[name] - rate * (gradient + decayed)), name
        changed[factor, decay] = after["head.fc7.bias"] - before["head.fc7.bias"]
    assert torch.allclose(changed[2, "false"], 2 * changed[1, "false"], atol=1e-6)
    assert not torch.allclose(changed[2, "true"], changed[2, "false"])


def test_only_layers_from_first_trainable_on_learn(tmp_path: Path):
    for layer, learning in (
        ("none", {"conv1", "conv2", "fc6", "fc7", "cls_score", "bbox_pred"}),
        ("conv2", {"conv2", "fc6", "fc7", "cls_score", "bbox_pred"}),
        ("fc6", {"fc6", "fc7", "cls_score", "bbox_pred"}),
        ("bbox_pred", {"bbox_pred"}),
    ):
        run = trainer(tmp_path / layer, "iterations=3", f"first_trainable={layer}")
        before = weights(run)
        list(run)
        after = weights(run)
        changed = {
            name.split(".")[1]
            for name in before
            if name.endswith("weight") and not torch.equal(before[name], after[name])
        }
        assert changed == learning


def test_with_the_convolutions_frozen_no_graph_is_built_below_the_head(tmp_path: Path):
    run = trainer(tmp_path, "iterations=2", "first_trainable=fc6")
    seen = []
    run.model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].grad_fn))
    list(run)
    assert seen == [None, None]


def test_without_box_regression_only_classes_are_learned(tmp_path: Path):
    run = trainer(tmp_path, "iterations=3", "bbox_reg=false")
    before = weights(run)
    for step in steps(run):
        assert step.loss == step.loss_cls
    after = weights(run)
    assert torch.equal(before["head.bbox_pred.weight"], after["head.bbox_pred.weight"])
    assert not torch.equal(before["head.cls_score.weight"], after["head.cls_score.weight"])


def test_targets_are_normalised_by_the_training_sets_foreground(tmp_path: Path):
    run = trainer(tmp_path / "a", "iterations=1")
    list(run)
    deltas = []
    for annotation in dataset():
        targets = run._batches.label(annotation)[1]
        deltas.append(targets.deltas[targets.labels > 0])
    head = run.model.head
    assert torch.allclose(head.bbox_mean, torch.cat(deltas).mean(0))
    assert torch.allclose(head.bbox_std, torch.cat(deltas).std(0, correction=0))
    plain = trainer(tmp_path / "b", "iterations=1", "normalise_targets=false")
    list(plain)
    assert plain.model.head.bbox_mean.tolist() == [0] * 4
    assert plain.model.head.bbox_std.tolist() == [1] * 4


@pytest.mark.parametrize("setting", ["fg_iou=0.8", "normalise_targets=false"])
def test_a_trained_detector_keeps_its_boxes_when_it_learns_on_with_other_statistics(
    tmp_path: Path, setting: str
):
    first = trainer(tmp_path / "a", "iterations=3", "lr=0.1")
    list(first)
    run = trainer(tmp_path / "b", "iterations=1", "lr=1e-12", setting)
    run.model.load_state_dict(first.model.state_dict())
    list(run)
    before, after = first.model.head.eval(), run.model.head.eval()
    assert not torch.allclose(before.bbox_std, after.bbox_std, rtol=0.01)
    units = torch.rand(5, before.fc7.out_features)
    boxes = before.deltas(before.outputs(units)[1])
    torch.testing.assert_close(after.deltas(after.outputs(units)[1]), boxes)


def test_the_last_weights_are_averaged(tmp_path: Path):
    run = trainer(tmp_path, "iterations=10", "average_last=0.3", "lr=0.1")
    kept = []
    for record in run:
        if isinstance(record, Step):
            kept.append(weights(run))
    for name, tensor in weights(run).items():
        mean = torch.stack([step[name] for step in kept[-3:]]).mean(0)
        assert torch.allclose(tensor, mean, atol=1e-6), name
    assert not torch.allclose(
        weights(run)["head.fc6.weight"], kept[-1]["head.fc6.weight"], atol=1e-6
    )


def test_validation_does_not_change_the_run(tmp_path: Path):
    alone = losses(trainer(tmp_path / "a"))
    watched = trainer(tmp_path / "b", val=dataset(3, first=50))
    assert losses(watched) == alone


def test_a_share_of_the_pictures_is_set_apart_for_validation(tmp_path: Path):
    run = trainer(tmp_path, "validation_fraction=0.3", "iterations=1")
    assert (len(run.train), len(run.val)) == (5, 2)
    assert isinstance([r for r in run if not isinstance(r, Progress)][2], Validation)


def test_a_batch_without_a_single_roi_changes_nothing_but_decay(tmp_path: Path):
    settings = ("iterations=2", "weight_decay=0", "fg_iou=1", "bg_iou_low=1", "bg_iou_high=1")
    run = trainer(tmp_path, *settings, "add_ground_truth=false", "normalise_targets=false")
    before = weights(run)
    assert [(s.loss, s.foreground, s.background) for s in steps(run)] == [(0, 0, 0)] * 2
    assert same(before, weights(run))


def test_bfloat16_is_float32_but_for_rounding(tmp_path: Path):
    settings = ("iterations=3", "dropout=0")
    exact = losses(trainer(tmp_path / "a", *settings))
    rounded = losses(trainer(tmp_path / "b", *settings, "precision=bfloat16"))
    assert rounded != exact
    assert np.allclose(rounded, exact, rtol=0.02)


# Randomness


@pytest.mark.parametrize("frozen", ["conv2", "fc6"])
def test_of_the_candidates_the_hardest_learn(tmp_path: Path, frozen: str):
    settings = (
        "iterations=1",
        *("foreground_candidates=12", "background_candidates=36"),
        *("loc_weight=0.5", "smooth_l1_beta=0.5", "dropout=0"),
        f"first_trainable={frozen}",
    )
    run = trainer(tmp_path, *settings)
    candidates = run._batches.batch(0)
    head = run.model.head
    while not isinstance(record := next(run), Step):
        before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.model.load_state_dict(
        before | {"head.bbox_mean": head.bbox_mean, "head.bbox_std": head.bbox_std}
    )
    run.model.eval()
    assert min(candidates.counts) > 3 * 8
    parts = (candidates.rois, candidates.labels, candidates.deltas)
    start = run._loss._start
    for number, (learned, outcome) in enumerate(zip(record.batch, record.outcomes, strict=True)):
        rois, labels, deltas = (part.split(candidates.counts)[number] for part in parts)
        with torch.no_grad():
            scores, predicted = run.model(candidates.images[[number]], [rois], start=start)
        losses = []
        for i, label in enumerate(labels.tolist()):
            loss = -scores[i].log_softmax(0)[label]
            if label:
                wanted = (deltas[i] - head.bbox_mean) / head.bbox_std
                loss += 0.5 * F.smooth_l1_loss(
                    predicted[i, label], wanted, reduction="sum", beta=0.5
                )
            losses.append(loss.item())
        hardest: list[int] = []
        for i in sorted(range(len(losses)), key=lambda i: -losses[i]):
            overlaps = iou(rois[[i]], rois[hardest])
            if len(hardest) < 8 and not (overlaps > 0.7).any():
                hardest.append(i)
        own = candidates.samples[number]
        assert learned.boxes.tolist() == own.boxes[hardest].tolist()
        assert learned.labels.tolist() == own.labels[hardest].tolist()
        costs = outcome.losses_cls + 0.5 * outcome.losses_loc
        assert costs == pytest.approx([losses[i] for i in hardest], abs=1e-5)
    assert record.foreground + record.background == sum(len(s.labels) for s in record.batch)


def test_hard_examples_resume_and_share_out_as_others_do(tmp_path: Path):
    settings = (
        *("iterations=6", "checkpoint_minutes=0"),
        *("foreground_candidates=8", "background_candidates=24"),
    )
    whole = losses(trainer(tmp_path / "whole", *settings))
    run = trainer(tmp_path / "broken", *settings)
    while run.iteration < 3:
        next(run)
    next(run)  # the state of the third iteration
    run.close()
    assert losses(trainer(tmp_path / "broken", *settings, resume=True)) == whole[3:]


def test_a_run_is_its_seeds_alone(tmp_path: Path):
    first = losses(trainer(tmp_path / "a"))
    torch.rand(3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert losses(trainer(tmp_path / "b")) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert losses(trainer(tmp_path / "c", "seed=1")) != first


def test_runs_in_several_threads_do_not_disturb_each_other(tmp_path: Path):
    alone, *together = (trainer(tmp_path / name) for name in "abc")
    expected = losses(alone)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(losses, together)) == [expected, expected]


def test_build_model_gives_the_same_head_for_the_same_seed():
    recipe = Recipe(fc6=4, fc7=4, first_trainable="conv5_1")
    first, second = (build_model(recipe, CLASSES) for _ in range(2))
    other = build_model(recipe.but(seed=1), CLASSES)
    assert torch.equal(first.head.fc6.weight, second.head.fc6.weight)
    assert not torch.equal(first.head.fc6.weight, other.head.fc6.weight)
    assert first.backbone.last_frozen() == "conv4_3"


# Stopping and going on


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop", [5, 7, 11])
def test_a_resumed_run_is_the_unbroken_one(tmp_path: Path, optimizer: str, stop: int):
    settings = (
        *(f"optimizer={optimizer}", "schedule=one_cycle", "warmup=0.2", "average_last=0.5"),
        "checkpoint_minutes=0",
    )
    val = dataset(2, first=50)
    unbroken = trainer(tmp_path / "whole", *settings, val=val)
    expected = list(unbroken)

    broken = trainer(tmp_path / "parts", *settings, val=val)
    for record in broken:
        if isinstance(record, CheckpointSaved) and record.iteration == stop:
            break
    next(broken)  # done after the state was saved, so it has to be done again
    broken.close()
    torch.rand(5)
    resumed = trainer(tmp_path / "parts", *settings, val=val, resume=True)
    assert resumed.iteration == stop
    rest = list(resumed)
    assert losses(rest) == losses(expected)[stop:]
    assert same(weights(unbroken), weights(resumed))

    def lines_of(folder: str) -> list[dict]:
        lines = read_metrics(tmp_path / folder / "metrics.jsonl")
        return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]

    assert lines_of("parts") == lines_of("whole")


CUT = ("fc6=24", "svd_rank=4", "svd_at=0.5", "average_decay=0.9", "conv_share=0.5")


@pytest.mark.parametrize("stop", [3, 6, 8])
def test_a_run_whose_fc6_is_cut_on_the_way_goes_on_before_and_after(tmp_path: Path, stop: int):
    settings = (*CUT, "optimizer=adamw", "start_decay=0.1", "checkpoint_minutes=0")
    unbroken = trainer(tmp_path / "whole", *settings)
    expected = list(unbroken)
    assert unbroken.model.config.fc6_rank == 4
    broken = trainer(tmp_path / "parts", *settings)
    for record in broken:
        if isinstance(record, CheckpointSaved) and record.iteration == stop:
            break
    broken.close()
    resumed = trainer(tmp_path / "parts", *settings, resume=True)
    assert losses(list(resumed)) == losses(expected)[stop:]
    assert same(weights(unbroken), weights(resumed))


def test_fc6_is_cut_in_the_shortest_run(tmp_path: Path):
    run = trainer(tmp_path, *CUT, "iterations=1", "svd_at=0.9")
    list(run)
    assert run.model.config.fc6_rank == 4


def test_what_the_convolutions_started_with_must_be_the_same(tmp_path: Path):
    run = trainer(tmp_path, "conv_share=0.5", "checkpoint_minutes=0")
    next(record for record in run if isinstance(record, CheckpointSaved))
    run.close()
    fresh = trainer(tmp_path / "fresh", "conv_share=0.5")
    fresh.model.backbone.conv2.weight.data += 1
    settings = {"proposals": Proposals(), "features": fresh._batches._features}
    with pytest.raises(RecipeError, match="other weights in the convolutions"):
        Trainer(run.recipe, fresh.model, run.train, out=tmp_path, **settings, resume=True)


# Keeping the device fed


@pytest.mark.parametrize("steps", [3, 10])
def test_steps_read_together_are_the_same_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    settings = (
        *("iterations=16", "foreground_candidates=8", "background_candidates=24"),
        "checkpoint_minutes=0",
    )
    val = dataset(2, first=50)
    one_by_one = list(trainer(tmp_path / "a", *settings, val=val))
    monkeypatch.setitem(trainer_module._STEPS_A_READ, "cpu", steps)
    run = trainer(tmp_path / "b", *settings, val=val)
    together = list(run)
    assert losses(together) == losses(one_by_one)
    for one, other in zip(steps_of(one_by_one), steps_of(together), strict=True):
        assert [s.boxes.tolist() for s in one.batch] == [s.boxes.tolist() for s in other.batch]
        assert (one.foreground, one.background) == (other.foreground, other.background)
    # Epochs of seven: states are saved where the device was read.
    saved = [r.iteration for r in together if isinstance(r, CheckpointSaved)]
    assert saved == {3: [3, 6, 7, 10, 13, 14, 16], 10: [7, 14, 16]}[steps]
    others = [r for r in together if isinstance(r, Validation | EpochEnd)]
    assert others == [r for r in one_by_one if isinstance(r, Validation | EpochEnd)]


def test_a_diverging_run_read_late_still_tells_of_the_steps_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(trainer_module._STEPS_A_READ, "cpu", 7)
    run = trainer(tmp_path, "lr=1e30", "iterations=200")
    with pytest.raises(RecipeError, match="lower lr"):
        list(run)
    written = read_metrics(tmp_path / "metrics.jsonl")
    assert written and all(np.isfinite(line["loss"]) for line in written)


# The loss, or only the weights after it, are no longer finite.
@pytest.mark.parametrize(("lr", "iterations"), [(1e30, 20), (1e300, 1)])
def test_a_diverging_run_with_hard_examples_says_so_and_leaves_no_result(
    tmp_path: Path, lr, iterations
):
    hard = ("foreground_candidates=8", "background_candidates=24")
    run = picture_trainer(tmp_path, *hard, f"lr={lr}", f"iterations={iterations}")
    with pytest.raises(RecipeError, match="lower lr"):
        list(run)
    assert not list(tmp_path.rglob("*.safetensors"))


class Reads(TorchDispatchMode):
    """Counts what waits for the device: its numbers read by the processor, or copied to it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2"):
            project = [f for f in traceback.extract_stack() if "/fastrcnn/" in f.filename]
            self.found.append(f"{name} in {Path(project[-1].filename).name}:{project[-1].lineno}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [(), ("foreground_candidates=8", "background_candidates=24")])
def test_a_step_reads_nothing_from_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings
):
    # On the paths that a GPU takes.
    for module in (roi_pool, fast_rcnn):
        monkeypatch.setattr(module, "is_processor", lambda device: False)
    run = picture_trainer(tmp_path, *settings, "images_per_batch=4", "clip_norm=1")
    while not isinstance(next(run), Step):
        pass
    batch = run._batches.batch(1)
    with Reads() as reads:
        run._step(batch)
    assert reads.found == []
    run.close()


@pytest.mark.system
def test_a_run_on_pictures_learns_resumes_and_needs_no_worker(tmp_path: Path):
    settings = ("zoom_in=1.5", "colour_jitter=0.1", "scales=40,48", "checkpoint_minutes=0")
    expected = losses(picture_trainer(tmp_path / "a", *settings))
    assert losses(picture_trainer(tmp_path / "b", *settings, "workers=2")) == expected
    run = picture_trainer(tmp_path / "c", *settings)
    while not (isinstance(record := next(run), CheckpointSaved) and record.iteration == 3):
        pass
    run.close()
    assert losses(picture_trainer(tmp_path / "c", *settings, resume=True)) == expected[3:]


@pytest.mark.system
def test_a_killed_run_can_be_resumed(tmp_path: Path):
    settings = (
        *("iterations=1000", "images_per_batch=1", "rois_per_batch=4"),
        *("checkpoint_minutes=0", "average_last=1"),
    )
    wait = random.randrange(1, 40)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.training.tiny", tmp_path / "killed", "20", *settings],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 300
    while len(_lines(tmp_path / "killed")) < wait:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(random.random() / 50)
    process.kill()
    assert process.wait() == -signal.SIGKILL

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed = trainer(tmp_path / "killed", *settings, pictures=20, resume=True)
        whole = trainer(tmp_path / "whole", *settings, pictures=20)
        start = resumed.iteration
        assert start >= wait - 1
        expected = [next_step(whole) for _ in range(start + 20)]
        rest = [next_step(resumed) for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    resumed.close()
    whole.close()
    assert losses(rest) == losses(expected)[start:]
    written = [line["loss"] for line in _lines(tmp_path / "killed") if line["event"] == "step"]
    assert written == [step.loss for step in expected]


def next_step(run: Trainer) -> Step:
    return next(record for record in run if isinstance(record, Step))


def _lines(folder: Path) -> list[dict]:
    try:
        content = (folder / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith("\n")]


def test_a_finished_run_finishes_again(tmp_path: Path):
    first = list(trainer(tmp_path, "average_last=0.5"))
    model = (tmp_path / "model.safetensors").read_bytes()
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    again = list(trainer(tmp_path, "average_last=0.5", resume=True))
    assert again == first[-2:]
    assert (tmp_path / "model.safetensors").read_bytes() == model
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines


def test_resuming_where_nothing_is_starts_anew(tmp_path: Path):
    run = trainer(tmp_path, resume=True)
    assert run.iteration == 0
    assert losses(run)[0][0] == 1


def test_a_run_is_not_overwritten(tmp_path: Path):
    list(trainer(tmp_path, "iterations=1"))
    with pytest.raises(RecipeError, match="holds a run already"):
        trainer(tmp_path)


def test_a_run_is_resumed_with_its_own_settings_and_data(tmp_path: Path):
    run = trainer(tmp_path, "checkpoint_minutes=0", val=dataset(2, first=50))
    next(record for record in run if isinstance(record, CheckpointSaved))
    run.close()
    with pytest.raises(RecipeError, match=r"was started with lr=0\.01"):
        trainer(tmp_path, "lr=0.1", val=dataset(2, first=50), resume=True)
    with pytest.raises(DataError, match="other data"):
        trainer(tmp_path, val=dataset(2, first=60), resume=True)
    again = trainer(tmp_path, "checkpoint_minutes=9", val=dataset(2, first=50), resume=True)
    assert again.iteration == 1


def test_a_run_is_resumed_with_the_weights_its_features_were_made_with(tmp_path: Path):
    run = trainer(tmp_path, "iterations=1")
    list(run)
    settings = {"out": tmp_path, "proposals": Proposals(), "features": run._batches._features}
    run.model.backbone.conv2.weight.data += 1  # learns, so that the state's own is put back
    Trainer(run.recipe, run.model, run.train, **settings, resume=True)
    run.model.backbone.conv1.weight.data += 1
    with pytest.raises(RecipeError, match="frozen layers"):
        Trainer(run.recipe, run.model, run.train, **settings, resume=True)


def test_a_damaged_state_is_refused(tmp_path: Path):
    (tmp_path / "state.safetensors").write_bytes(b"\x80\x04nonsense")
    with pytest.raises(CheckpointError, match="not the state"):
        trainer(tmp_path, resume=True)


@pytest.mark.system
def test_a_closed_run_leaves_no_process_no_thread_and_no_memory(tmp_path: Path):
    before = set(threading.enumerate())
    run = picture_trainer(tmp_path, "average_last=1", "workers=1", "optimizer=sgd")
    next_step(run)
    assert len(multiprocessing.active_children()) == 1
    held = [weakref.ref(parameter.grad) for parameter in run.model.head.parameters()]
    held += [weakref.ref(tensor) for tensor in run._solver.average.values()]
    held += [
        weakref.ref(state["momentum_buffer"]) for state in run._solver.optimizer.state.values()
    ]
    run.close()
    assert not multiprocessing.active_children()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)  # a queue's feeder ends a moment after its queue
        assert not thread.is_alive()
    assert list(run) == []
    assert len(held) > 20 and not any(tensor() is not None for tensor in held)
    gone = weakref.ref(run.model)
    del run
    gc.collect()
    assert gone() is None


# What cannot work


def test_a_diverging_run_names_the_knob_to_turn(tmp_path: Path):
    run = trainer(tmp_path, "lr=1e30", "iterations=200")
    with pytest.raises(RecipeError, match="lower lr"):
        list(run)
    assert all(np.isfinite(line["loss"]) for line in read_metrics(tmp_path / "metrics.jsonl"))


def test_features_of_another_layer_are_refused(tmp_path: Path):
    run = trainer(tmp_path / "a", "first_trainable=fc6")
    settings = {"out": tmp_path / "b", "proposals": Proposals(), "features": run._batches._features}
    with pytest.raises(RecipeError, match="last frozen layer is conv1"):
        Trainer(run.recipe.but(first_trainable="conv2"), run.model, dataset(), **settings)


def test_a_rank_that_fc6_does_not_have_is_refused_before_the_training(tmp_path: Path):
    # fc6 has 4 channels x 7 x 7 inputs, fewer than its 400 units.
    with pytest.raises(RecipeError, match=r"svd_rank is 196; .* 1 to 195"):
        trainer(tmp_path, "fc6=400", "svd_rank=196")


def test_other_classes_than_the_networks_are_refused(tmp_path: Path):
    other = Dataset("other", ("cat", "dog"), dataset().annotations)
    with pytest.raises(DataError, match="classes of other"):
        trainer(tmp_path, val=other)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    run = trainer(tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        list(run)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        trainer(tmp_path / "file" / "run")


# The real network


def test_vgg16_trains_from_cached_features_to_a_checkpoint(tmp_path: Path):
    random_pixels = np.random.default_rng(0)
    annotations = []
    for annotation in dataset(3):
        path = tmp_path / annotation.path
        pixels = random_pixels.integers(0, 256, (annotation.height, annotation.width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        annotations.append(replace(annotation, path=path))
    train = Dataset("noise", CLASSES, tuple(annotations))
    recipe = Recipe(
        fc6=8,
        fc7=8,
        shorter=48,
        longer=64,
        divisor=10.0,
        rois_per_batch=16,
        first_trainable="fc6",
        lr_steps=(),
        iterations=3,
    )
    model = build_model(recipe, CLASSES)
    features = FeatureCache(model.backbone, recipe.resize(), tmp_path)
    run = Trainer(
        recipe, model, train, out=tmp_path / "run", features=features, proposals=Proposals()
    )
    finished = list(run)[-1]
    loaded, metadata = load_checkpoint(finished.path)
    assert metadata["recipe"]["fc6"] == 8
    assert metadata["data"]["train"] == "noise"
    assert loaded.config == recipe.network_config(CLASSES)
    assert torch.equal(loaded.head.bbox_std, model.head.bbox_std)
    assert torch.equal(loaded.head.fc6.weight, model.head.fc6.weight)
