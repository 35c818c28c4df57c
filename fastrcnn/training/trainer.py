"""The training loop (paper, section 2.3), as an iterator of records.

Nothing runs until the next record is asked for, so that pausing is not asking, and the terminal,
the plots and the page are readers of the same thing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fastrcnn.data import Dataset
from fastrcnn.errors import CheckpointError, DataError, RecipeError
from fastrcnn.model import FastRCNN, build_backbone, save_checkpoint
from fastrcnn.proposals.cache import ProposalSource
from fastrcnn.runtime import distributed
from fastrcnn.runtime.atomic_write import remove_parts
from fastrcnn.runtime.precision import autocast
from fastrcnn.runtime.torchvision_ops import nms
from fastrcnn.training.batches import (
    MiniBatches,
    Picture,
    Stream,
    generator,
    split_validation,
)
from fastrcnn.training.feature_cache import FeatureSource
from fastrcnn.training.loss import Loss, multi_task_loss, smooth_l1
from fastrcnn.training.optimizer import flatten_optimizer, restore_optimizer
from fastrcnn.training.plots import plot_losses, read_metrics
from fastrcnn.training.recipes import Recipe
from fastrcnn.training.records import (
    CheckpointSaved,
    EpochEnd,
    Finished,
    Progress,
    Record,
    Step,
    Validation,
)
from fastrcnn.training.run_folder import load_state, save_state
from fastrcnn.training.targets import Targets, target_statistics

_FORMAT_VERSION = 1
_STATISTICS_PICTURES = 500  # enough for the mean and spread of four numbers
_PLOT_SECONDS = 10.0  # drawing takes most of a second, an epoch of a small data set less
_SAME_LOSS_IOU = 0.7  # RoIs that overlap more than this are as hard as each other
_PACE = 0.05  # weight of the newest step in the running mean that the time left comes from

# torch's random numbers, which dropout uses, are one stream per process. Whoever sets its seed
# holds this until done, so that runs in several threads do not disturb each other.
_RANDOM = threading.Lock()


@dataclass
class _Position:
    """Where a run is.

    iteration: how many are done. averaged: of how many the average holds the weights. epoch_sums:
    total, class and box loss of the epoch's steps so far, which are epoch_steps many. metrics_size:
    bytes written to the metrics.
    """

    iteration: int = 0
    averaged: int = 0
    epoch_sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    epoch_steps: int = 0
    metrics_size: int = 0


def build_model(
    recipe: Recipe, classes: tuple[str, ...], weights: str | Path | None = None
) -> FastRCNN:
    """The network as training starts, frozen as asked: VGG16's convolutions from ImageNet or the
    small ones at random, and a random head.

    weights: see `build_backbone`. The same recipe gives the same network.
    """
    with _seeded(recipe.seed):
        backbone = build_backbone(recipe.backbone, weights)
    # Anew, so that the head does not depend on what the backbone drew.
    with _seeded(recipe.seed):
        model = FastRCNN(recipe.model_config(classes), backbone)
    model.freeze(recipe.first_trainable)
    return model


class Trainer(Iterator[Record]):
    """Trains `model`; each `next` does a step's work, or a picture's, and tells of it.

    recipe: the settings; `model` is one that `build_model` made of them.
    train, val: the pictures. Without `val`, the recipe's validation_fraction of `train` is set
    apart; where that is 0 there is no validation.
    out: the run's folder. ``metrics.jsonl`` gets every step, validation and epoch, ``loss.png`` the
    curves at each epoch's end, ``state.safetensors`` what resuming needs, ``model.safetensors`` the
    result.
    features, proposals: what is known of each picture beforehand; the features are those of the
    model's last frozen layer.
    resume: go on from the state in `out`, if there is one. The losses are then those of an unbroken
    run, bit for bit (on a CPU, with as many threads and processes): the state holds the weights,
    the optimizer and the iteration, and all that is random follows from the seed and the iteration.

    Under ``torchrun`` the pictures of each mini-batch are shared out among the processes, and the
    result is that of one process but for rounding and other dropout masks. Rank 0 writes the files.

    Raises RecipeError, DataError or CheckpointError, here or from `next`; RecipeError also when
    the loss is no longer a finite number.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: FastRCNN,
        train: Dataset,
        val: Dataset | None = None,
        *,
        out: str | Path,
        features: FeatureSource,
        proposals: ProposalSource,
        resume: bool = False,
    ) -> None:
        if val is None and recipe.validation_fraction:
            train, val = split_validation(train, recipe.validation_fraction, recipe.seed)
        self.recipe = recipe
        self.model = model
        self.train = train
        self.val = val
        self.out = Path(out)
        self._at = _Position()
        self._rank, self._world = distributed.rank(), distributed.world_size()
        if recipe.images_per_batch % self._world:
            raise RecipeError(
                f"images_per_batch ({recipe.images_per_batch}) must be a multiple of the number of "
                f"processes ({self._world})."
            )
        for dataset in (train, val):
            if dataset is not None and dataset.classes != model.config.classes:
                raise DataError(f"The classes of {dataset.name} are not those of the network.")
        model.freeze(recipe.first_trainable)
        if not recipe.bbox_reg:
            model.head.bbox_pred.requires_grad_(False)
        if features.stop != model.backbone.last_frozen():
            raise RecipeError(
                f"The features are those of {features.stop}, but the network's last frozen layer "
                f"is {model.backbone.last_frozen()}; freeze the backbone before making them."
            )
        self._device = next(model.head.parameters()).device
        self._network = _Network(model, recipe, features.stop, self._device)
        # With every convolution frozen, no graph is built below the head.
        frozen = features.stop == model.backbone.layers[-1]
        self._batches = MiniBatches(
            recipe, train, features, proposals, self._network.pool if frozen else None
        )
        self.iterations = recipe.iterations or (recipe.epochs or 0) * self._batches.per_epoch
        self._learner: nn.Module = self._network
        if self._world > 1:
            self._learner = DistributedDataParallel(self._network, broadcast_buffers=False)
        self._trainable = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self._optimizer = _optimizer(recipe, self._trainable)
        self._average: dict[str, Tensor] = {}
        self._pace: float | None = None
        self._plotted = -math.inf
        self._state_path = self.out / "state.safetensors"
        self.metrics_path = self.out / "metrics.jsonl"
        self._open(resume)
        self._records = self._run()

    def __next__(self) -> Record:
        return next(self._records)

    @property
    def iteration(self) -> int:
        """How many of `iterations` are done."""
        return self._at.iteration

    def metadata(self) -> dict:
        """What a checkpoint of the model as it is now should say of how it came to be."""
        data = {"train": self.train.name, "train_pictures": len(self.train)}
        if self.val is not None:
            data |= {"val": self.val.name, "val_pictures": len(self.val)}
        return {"recipe": asdict(self.recipe), "data": data, "iterations": self._at.iteration}

    def close(self) -> None:
        """End the run where it is and let go of its thread, files and all memory but the model's.

        The last state stays on disk.
        """
        self._records.close()
        # An optimizer's own numbers and the gradients are up to three times the model.
        self._optimizer.zero_grad(set_to_none=True)
        self._optimizer.state.clear()
        self._average.clear()

    # The loop

    def _run(self) -> Generator[Record, None, None]:
        self._cut_metrics()
        with ThreadPoolExecutor(1) as thread:
            if self._at.iteration == 0 and self.recipe.normalise_targets:
                yield from self._measure_targets()
            ready = self._prefetch(thread, self._at.iteration)
            saved = time.monotonic()
            while self._at.iteration < self.iterations:
                started = time.monotonic()
                pictures = ready.result()
                ready = self._prefetch(thread, self._at.iteration + 1)
                yield self._write(self._step(pictures, started))
                last = self._at.iteration == self.iterations
                if not last and self._at.iteration % self._batches.per_epoch == 0:
                    yield from self._end_epoch()
                if last or time.monotonic() - saved >= 60 * self.recipe.checkpoint_minutes:
                    if self._rank == 0:
                        yield self._save_state()
                    saved = time.monotonic()
            # From here on everything follows from the state that was just saved.
            with torch.no_grad():
                for name, average in self._average.items():
                    self._trainable[name].copy_(average)
            yield from self._end_epoch()
            yield self._finish()

    def _prefetch(self, thread: ThreadPoolExecutor, iteration: int) -> Future[list[Picture]]:
        if iteration >= self.iterations:
            return Future()
        return thread.submit(self._batches.batch, iteration, self._rank, self._world)

    def _measure_targets(self) -> Iterator[Progress]:
        """Set what box targets are normalised with (see `target_statistics`)."""
        order = generator(self.recipe.seed, Stream.STATISTICS).permutation(len(self.train))
        chosen = order[:_STATISTICS_PICTURES].tolist()
        found: list[Targets] = []
        for done, index in enumerate(chosen, start=1):
            found.append(self._batches.label(self.train[index])[1])
            yield Progress("targets", done, len(chosen))
        mean, std = target_statistics(found)
        self.model.head.bbox_mean.copy_(mean)
        self.model.head.bbox_std.copy_(std)

    def _step(self, pictures: list[Picture], started: float) -> Step:
        recipe = self.recipe
        lr = recipe.learning_rate(self._at.iteration, self.iterations)
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        dropout = generator(recipe.seed, Stream.DROPOUT, self._at.iteration, self._rank)
        with _seeded(int(dropout.integers(2**63)), self._device):
            cls_score, bbox_pred, chosen = self._learner(pictures)
        if chosen is not None:
            pictures = [picture.only(i) for picture, i in zip(pictures, chosen, strict=True)]
        labels = torch.cat([picture.labels for picture in pictures])
        counts = torch.stack([(labels > 0).sum(), (labels == 0).sum()])
        foreground, background = distributed.add_up(counts).tolist()
        # Gradients are averaged over the processes; dividing by the share of the RoIs that each
        # would have if all had as many makes that the mean over all RoIs.
        count = max(foreground + background, 1) / self._world
        loss = self._loss(cls_score, bbox_pred, pictures, count)
        values = torch.stack([part.detach() for part in loss]).double().cpu() / self._world
        total, cls, loc = distributed.add_up(values).tolist()
        self._check_finite(total, lr)
        loss.total.backward()
        self._optimizer.step()
        self._at.iteration += 1
        self._update_average()
        for index, value in enumerate((total, cls, loc)):
            self._at.epoch_sums[index] += value
        self._at.epoch_steps += 1
        seconds = time.monotonic() - started
        pace = seconds if self._pace is None else self._pace
        self._pace = pace + _PACE * (seconds - pace)
        return Step(
            iteration=self._at.iteration,
            iterations=self.iterations,
            epoch=self._epoch(),
            loss=total,
            loss_cls=cls,
            loss_loc=loc,
            lr=lr,
            foreground=foreground,
            background=background,
            seconds=seconds,
            seconds_left=self._pace * (self.iterations - self._at.iteration),
            batch=tuple(picture.sample for picture in pictures),
        )

    def _loss(
        self, cls_score: Tensor, bbox_pred: Tensor, pictures: list[Picture], count: float
    ) -> Loss:
        head = self.model.head
        labels = torch.cat([picture.labels for picture in pictures]).to(self._device)
        deltas = torch.cat([picture.deltas for picture in pictures]).to(self._device)
        targets = (deltas - head.bbox_mean) / head.bbox_std
        return multi_task_loss(
            cls_score, bbox_pred, labels, targets, self._network.loc_weight, count
        )

    def _check_finite(self, loss: float, lr: float) -> None:
        if not math.isfinite(loss):
            raise RecipeError(
                f"The loss is {loss} after {self._at.iteration} iterations: the training diverged; "
                f"lower lr (now {lr:g}), or give a longer warmup or a larger divisor."
            )

    def _update_average(self) -> None:
        """The mean of the weights over the last iterations, which is steadier than the last."""
        if self._at.iteration <= self.iterations - round(
            self.recipe.average_last * self.iterations
        ):
            return
        self._at.averaged += 1
        for name, parameter in self._trainable.items():
            if self._at.averaged == 1:
                self._average[name] = parameter.detach().clone()
            else:
                self._average[name].lerp_(parameter.detach(), 1 / self._at.averaged)

    def _epoch(self) -> int:
        return math.ceil(self._at.iteration / self._batches.per_epoch)

    def _end_epoch(self) -> Iterator[Record]:
        if self.val is not None:
            yield from self._validate(self.val)
        means = [value / self._at.epoch_steps for value in self._at.epoch_sums]
        self._at.epoch_sums, self._at.epoch_steps = [0.0, 0.0, 0.0], 0
        record = self._write(EpochEnd(self._at.iteration, self._epoch(), *means))
        now = time.monotonic()
        if self._rank == 0 and (
            self._at.iteration == self.iterations or now - self._plotted >= _PLOT_SECONDS
        ):
            with self._writing():
                plot_losses(read_metrics(self.metrics_path), self.out / "loss.png")
            self._plotted = now
        yield record

    def _validate(self, val: Dataset) -> Iterator[Record]:
        sums = torch.zeros(3, dtype=torch.float64)
        for index in range(self._rank, len(val), self._world):
            picture = self._batches.validation_picture(val[index], index)
            self.model.eval()
            with torch.no_grad():
                cls_score, bbox_pred, _ = self._network([picture])
                loss = self._loss(cls_score, bbox_pred, [picture], 1)
            sums += torch.tensor([loss.cls, loss.loc, len(picture.labels)], dtype=torch.float64)
            yield Progress("validation", index + 1, len(val))
        cls, loc, count = distributed.add_up(sums).tolist()
        cls, loc = cls / max(count, 1), loc / max(count, 1)
        total = cls + self._network.loc_weight * loc
        self._check_finite(
            total, self.recipe.learning_rate(self._at.iteration - 1, self.iterations)
        )
        yield self._write(Validation(self._at.iteration, self._epoch(), total, cls, loc))

    def _finish(self) -> Finished:
        path = self.out / "model.safetensors"
        if self._rank == 0:
            save_checkpoint(path, self.model.eval(), self.metadata())
        return Finished(self._at.iteration, path)

    # Files

    def _open(self, resume: bool) -> None:
        """Make the folder, or go on from the state in it; every process gets rank 0's."""
        found = None
        if self._rank == 0:
            with self._writing():
                self.out.mkdir(parents=True, exist_ok=True)
            if self._state_path.exists():
                if not resume:
                    raise RecipeError(
                        f"{self.out} holds a run already; resume it, or name another folder."
                    )
                found = load_state(self._state_path)
            remove_parts(self.out, time.time())
        found = distributed.broadcast_object(found)
        if found is not None:
            self._restore(*found)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"The run's folder {self.out} cannot be written ({error.strerror}); make room, or "
                f"name another."
            ) from error

    def _save_state(self) -> CheckpointSaved:
        with self._writing(), self.metrics_path.open("ab") as file:
            os.fsync(file.fileno())
            self._at.metrics_size = file.tell()
        tensors = {
            **_prefixed("model", self.model.state_dict()),
            **_prefixed("optimizer", flatten_optimizer(self._optimizer)),
            **_prefixed("average", self._average),
        }
        header = {
            "format_version": _FORMAT_VERSION,
            **self._identity(),
            "position": asdict(self._at),
        }
        save_state(self._state_path, tensors, header)
        return CheckpointSaved(self._at.iteration, self._state_path)

    def _restore(self, tensors: dict[str, Tensor], header: dict) -> None:
        if header.get("format_version") != _FORMAT_VERSION:
            raise CheckpointError(
                f"{self._state_path} is of another version of this program; start anew."
            )
        if not isinstance(header.get("recipe"), dict):
            raise self._damaged("it names no recipe")
        before, now = header["recipe"], self._identity()
        changed = [key for key, value in now["recipe"].items() if before.get(key) != value]
        if changed:
            was = ", ".join(f"{key}={before.get(key)}" for key in changed)
            raise RecipeError(
                f"The run in {self.out} was started with {was}; resume it with the same settings, "
                f"or name another folder."
            )
        if header.get("data") != now["data"]:
            raise DataError(
                f"The run in {self.out} was started on other data; resume it with the same, or "
                f"name another folder."
            )
        position = self._position(header.get("position"))
        weights, average = _unprefixed("model", tensors), _unprefixed("average", tensors)
        self._check_tensors(weights, self.model.state_dict())
        self._check_tensors(average, self._trainable if position.averaged else {})
        for name, tensor in self.model.backbone.named_parameters(prefix="backbone"):
            # The features are those of the weights at hand, so these must not be exchanged now.
            if not tensor.requires_grad and not torch.equal(tensor.cpu(), weights[name]):
                raise RecipeError(
                    f"The run in {self.out} was started with other weights in the frozen layers; "
                    f"resume it with the same, or name another folder."
                )
        try:
            restore_optimizer(self._optimizer, _unprefixed("optimizer", tensors))
        except ValueError as error:
            raise self._damaged(str(error)) from error
        self.model.load_state_dict(weights)
        self._average = {name: tensor.to(self._device) for name, tensor in average.items()}
        self._at = position

    def _damaged(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self._state_path} is not a state of this run ({why}); delete it to start anew."
        )

    def _position(self, values: object) -> _Position:
        """Raises CheckpointError where the values are not those of a place in this run."""
        names = {field.name for field in fields(_Position)}
        if not isinstance(values, dict) or values.keys() != names:
            raise self._damaged("its position is not complete")
        at = _Position(**values)
        counts = (at.iteration, at.averaged, at.epoch_steps, at.metrics_size)
        if not (
            all(type(count) is int and count >= 0 for count in counts)
            and at.averaged <= at.iteration <= self.iterations
            # The last state is saved before the last epoch is closed.
            and (at.epoch_steps > 0 or at.iteration < self.iterations)
            and isinstance(at.epoch_sums, list)
            and len(at.epoch_sums) == 3
            and all(type(value) is float and math.isfinite(value) for value in at.epoch_sums)
        ):
            raise self._damaged("its position is not one in this run")
        return at

    def _check_tensors(self, found: dict[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        if found.keys() != expected.keys():
            name = min(found.keys() ^ expected.keys())
            raise self._damaged(f"{name} is {'extra' if name in found else 'missing'}")
        for name, tensor in expected.items():
            if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
                raise self._damaged(
                    f"{name} is {list(found[name].shape)} {found[name].dtype}, not "
                    f"{list(tensor.shape)} {tensor.dtype}"
                )

    def _identity(self) -> dict:
        """What must be the same for a run to be gone on with, as JSON has it."""
        recipe = asdict(self.recipe)
        del recipe["checkpoint_minutes"]
        digest = hashlib.sha256(repr(self.train.classes).encode())
        for dataset in (self.train, self.val):
            for annotation in dataset or ():
                digest.update(annotation.image_id.encode())
                digest.update(annotation.boxes.tobytes() + annotation.labels.tobytes())
        return json.loads(json.dumps({"recipe": recipe, "data": digest.hexdigest()}))

    def _cut_metrics(self) -> None:
        """Drop what was written after the state that the run goes on from."""
        if self._rank == 0:
            with self._writing(), self.metrics_path.open("ab") as file:
                file.truncate(min(self._at.metrics_size, file.tell()))

    def _write(self, record: Record) -> Record:
        if self._rank == 0:
            values = {
                field.name: getattr(record, field.name)
                for field in fields(record)
                if field.name not in ("batch", "iterations", "seconds_left")
            }
            event = {Step: "step", Validation: "validation", EpochEnd: "epoch"}[type(record)]
            with self._writing(), self.metrics_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **values}) + "\n")
        return record


class _Network(nn.Module):
    """The model on a list of pictures of different sizes, from their features on."""

    def __init__(
        self, model: FastRCNN, recipe: Recipe, start: str | None, device: torch.device
    ) -> None:
        super().__init__()
        self.model = model
        self._start = start
        self._device = device
        self._precision = recipe.precision
        self.loc_weight = recipe.loc_weight if recipe.bbox_reg else 0.0
        self._hardest = None
        if recipe.candidates_per_batch is not None:
            self._hardest = recipe.rois_per_batch // recipe.images_per_batch

    def forward(self, pictures: list[Picture]) -> tuple[Tensor, Tensor, list[Tensor] | None]:
        """cls_score (R, K) and bbox_pred (R, K, 4), float32, the pictures' RoIs one after another.

        Each picture goes through the convolutions alone, since no two have the same shape. Where
        the hardest RoIs of each picture are to learn, the results are for those, and the third one
        says which they are.
        """
        mines = self._hardest is not None and self.model.training
        pooled, chosen = [], []
        for picture in pictures:
            maps = self._maps(picture.features) if picture.pooled is None else None
            if mines:
                chosen.append(self._hard(maps, picture))
                picture = picture.only(chosen[-1])
            pooled.append(self._pool(maps, picture))
        with autocast(self._precision, self._device):
            cls_score, bbox_pred = self.model.head(torch.cat(pooled))
        return cls_score, bbox_pred, chosen if mines else None

    def pool(self, features: Tensor, rois: Tensor) -> Tensor:
        """(1, C, h, w) after the layer where the features stop, (r, 5) -> (r, C, 7, 7)."""
        return self.model.roi_pool(self._maps(features), rois.to(self._device))

    def _maps(self, features: Tensor) -> Tensor:
        with autocast(self._precision, self._device):
            return self.model.backbone(features.to(self._device), start=self._start).float()

    def _pool(self, maps: Tensor | None, picture: Picture) -> Tensor:
        if maps is None:
            assert picture.pooled is not None
            return picture.pooled
        return self.model.roi_pool(maps, picture.rois.to(self._device))

    @torch.no_grad()
    def _hard(self, maps: Tensor | None, picture: Picture) -> Tensor:
        """The indices of the RoIs with the largest loss as the network is, without dropout.

        Of RoIs that overlap much only the worst is taken: their losses are one loss seen twice
        (Shrivastava et al. 2016, section 4.2).
        """
        head = self.model.head.eval()
        with autocast(self._precision, self._device):
            cls_score, bbox_pred = head(self._pool(maps, picture))
        head.train()
        labels, deltas = picture.labels.to(self._device), picture.deltas.to(self._device)
        targets = (deltas - head.bbox_mean) / head.bbox_std
        rows = torch.arange(len(labels), device=self._device)
        boxes = smooth_l1(bbox_pred[rows, labels] - targets).sum(dim=1) * (labels > 0)
        losses = nn.functional.cross_entropy(cls_score, labels, reduction="none")
        losses = losses + self.loc_weight * boxes
        return nms(picture.rois[:, 1:], losses.cpu(), _SAME_LOSS_IOU)[: self._hardest]


def _optimizer(recipe: Recipe, trainable: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    """Weights and biases of convolutions and head in groups; `lr_factor` is theirs on top of lr."""
    groups: dict[tuple[bool, bool], dict] = {}
    for name, parameter in trainable.items():
        is_conv, is_bias = name.startswith("backbone."), name.endswith(".bias")
        group = groups.setdefault((is_conv, is_bias), {"params": []})
        group["params"].append(parameter)
        group["lr_factor"] = (recipe.conv_lr_factor if is_conv else 1.0) * (
            recipe.bias_lr_factor if is_bias else 1.0
        )
        group["weight_decay"] = 0.0 if is_bias and not recipe.bias_decay else recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            list(groups.values()), recipe.lr, momentum=recipe.momentum, fused=True
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(list(groups.values()), recipe.lr, fused=True)


@contextmanager
def _seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's random numbers from `seed` on, and afterwards where they were."""
    devices = [device] if device is not None and device.type == "cuda" else []
    with _RANDOM, torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
