"""The training loop (paper, section 2.3), as an iterator of records.

Work is done only when the next record is requested, so a reader pauses training by not asking for
one. The terminal, the plots and the page all read the same records.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fastrcnn.data import Dataset
from fastrcnn.errors import DataError, RecipeError
from fastrcnn.model import FastRCNN, build_backbone, save_checkpoint
from fastrcnn.model.weights import start_head
from fastrcnn.proposals.cache import ProposalSource
from fastrcnn.runtime import distributed
from fastrcnn.training.batch_loss import BatchLoss, BatchSums
from fastrcnn.training.batches import Batch, MiniBatches, split_validation
from fastrcnn.training.feature_cache import FeatureSource
from fastrcnn.training.loader import Key, load
from fastrcnn.training.optimizer import Solver, restore_optimizer
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import (
    CheckpointSaved,
    EpochEnd,
    Finished,
    Progress,
    Record,
    Validation,
)
from fastrcnn.training.run_folder import Position, RunFolder, identity
from fastrcnn.training.step_reader import StepReader, Taken
from fastrcnn.training.streams import Stream, generator, seeded
from fastrcnn.training.targets import Targets, target_statistics

_STATISTICS_PICTURES = 500  # enough for the mean and spread of four numbers
# How many steps share one read. A read leaves a GPU idle while it waits; a CPU has no such cost.
_STEPS_A_READ = {"cpu": 1, "cuda": 10, "mps": 10}


def build_model(
    recipe: Recipe, classes: tuple[str, ...], weights: str | Path | None = None
) -> FastRCNN:
    """The network at the start of training, frozen as the recipe says.

    weights: see `build_backbone`. The head starts at random, or with fc6 and fc7 from `weights` if
    that file holds them (`start_head`). The same recipe gives the same network.
    """
    with seeded(recipe.seed):
        backbone = build_backbone(recipe.backbone, weights)
    # Seeded again, so that the head does not depend on the backbone's random numbers.
    with seeded(recipe.seed):
        model = FastRCNN(recipe.network_config(classes), backbone)
    start_head(model.head, weights)
    model.freeze(recipe.first_trainable)
    return model


class Trainer(Iterator[Record]):
    """Trains `model` on its device. Each `next` does the work of one step, or of one picture, and
    gives a record of it. On a GPU several steps are taken before their records are given, in
    order, since each read of the GPU has to wait.

    recipe: the settings; `build_model` must have made `model` from them.
    train, val: the pictures. Without `val`, the recipe's validation_fraction of `train` is set
    apart; if that is 0 there is no validation.
    out: the run's folder. ``metrics.jsonl`` gets every step, validation and epoch, ``loss.png`` the
    curves at the end of each epoch, ``state.safetensors`` the state for resuming, and
    ``model.safetensors`` the result.
    proposals: gives the proposals of each picture. features: gives the maps of the model's last
    frozen layer, which are used instead of the pictures.
    resume: go on from the state in `out`, if there is one. The losses are then the same as in an
    unbroken run, bit for bit (on a CPU, with the same number of threads and processes). The state
    holds the weights, the optimizer and the iteration, and all random numbers follow from the seed
    and the iteration.

    Under ``torchrun`` the processes share the pictures of each mini-batch. The result is the same
    as that of one process, except for rounding and other dropout masks. Rank 0 writes the files.

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
        proposals: ProposalSource,
        features: FeatureSource | None = None,
        resume: bool = False,
    ) -> None:
        if val is None and recipe.validation_fraction:
            train, val = split_validation(train, recipe.validation_fraction, recipe.seed)
        self.recipe, self.model, self.train, self.val = recipe, model, train, val
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
        if features is not None and features.stop != model.backbone.last_frozen():
            raise RecipeError(
                f"The features are those of {features.stop}, but the network's last frozen layer "
                f"is {model.backbone.last_frozen()}; freeze the backbone before making them."
            )
        self._device = next(model.head.parameters()).device
        if self._device.type == "cuda":
            model.to(memory_format=torch.channels_last)
        self._loss = BatchLoss(model, recipe, None if features is None else features.stop)
        self._batches = MiniBatches(recipe, train, features, proposals)
        self._workers = _workers(recipe, self._device) if features is None else 0
        self.iterations = recipe.iterations or (recipe.epochs or 0) * self._batches.per_epoch
        # Before the last iteration, so that some training always follows.
        self._cut_at = min(round(recipe.svd_at * self.iterations), self.iterations - 1)
        self._solver = Solver(recipe, model, self.iterations)
        self._at = Position()
        self._reader = StepReader(
            recipe, self.iterations, self._batches.per_epoch, self._loss.loc_weight
        )
        self._identity = identity(recipe, train, val, self._solver.start)
        self._folder = RunFolder(Path(out), writes=self._rank == 0)
        found = distributed.broadcast_object(self._folder.open(resume))
        if found is not None:
            self._restore(*found)
        self._learner = self._shared()
        self._records = self._run()

    def __next__(self) -> Record:
        return next(self._records)

    @property
    def iteration(self) -> int:
        """How many of `iterations` are done."""
        return self._at.iteration

    @property
    def metrics_path(self) -> Path:
        """Where the records are written, as JSON, a line each."""
        return self._folder.metrics

    def metadata(self) -> dict:
        """How the present model was trained, to be stored in its checkpoint."""
        data = {"train": self.train.name, "train_pictures": len(self.train)}
        if self.val is not None:
            data |= {"val": self.val.name, "val_pictures": len(self.val)}
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "data": data,
            "iterations": self._at.iteration,
        }

    def close(self) -> None:
        """End the run now. Frees its workers, its files and all memory except the model's.

        The last state stays on disk.
        """
        self._records.close()
        self._solver.close()

    def _run(self) -> Generator[Record, None, None]:
        self._folder.cut_metrics(self._at.metrics_size)
        if self._at.iteration == 0:
            yield from self._normalise_targets()
        share = self._rank, self._world
        pinned = self._device.type == "cuda"
        batches = load(self._batches, self.val, self._keys(), share, self._workers, pinned)
        with closing(batches):
            yield from self._train(batches)

    def _train(self, batches: Iterator[Batch]) -> Iterator[Record]:
        saved = time.monotonic()
        while self._at.iteration < self.iterations:
            started = time.monotonic()
            taken = [self._step(next(batches)) for _ in range(self._steps_to_take())]
            for step in self._reader.read(taken, started):
                self._at.add(step)
                self._folder.write(step)
                yield step
            last = self._at.iteration == self.iterations
            if not last and self._at.iteration % self._batches.per_epoch == 0:
                yield from self._end_epoch(batches)
            if last or time.monotonic() - saved >= 60 * self.recipe.checkpoint_minutes:
                if self._rank == 0:
                    yield self._save()
                saved = time.monotonic()
        # All that follows can be repeated from the state that was just saved.
        self._solver.finish()
        yield from self._end_epoch(batches)
        path = self._folder.path / "model.safetensors"
        if self._rank == 0:
            save_checkpoint(path, self.model.eval(), self.metadata(), self.recipe.half)
        yield Finished(self._at.iteration, path)

    def _keys(self) -> Iterator[Key]:
        """The keys of all batches to prepare, in the order in which `_run` uses them."""
        validation = [
            Key(index, validation=True)
            for index in range(self._rank, len(self.val or ()), self._world)
        ]
        for iteration in range(self._at.iteration, self.iterations):
            yield Key(iteration)
            done = iteration + 1
            if done % self._batches.per_epoch == 0 or done == self.iterations:
                yield from validation
        if self._at.iteration == self.iterations:
            yield from validation

    def _steps_to_take(self) -> int:
        """How many steps to take before the next read of the device, within the epoch."""
        at = self._at.iteration
        left = min(self.iterations - at, self._batches.per_epoch - at % self._batches.per_epoch)
        return min(left, _STEPS_A_READ.get(self._device.type, 1))

    def _normalise_targets(self) -> Iterator[Progress]:
        """Set the mean and deviation that normalise box targets (see `target_statistics`)."""
        if not self.recipe.normalise_targets:
            self.model.head.normalise(torch.zeros(4), torch.ones(4))
            return
        order = generator(self.recipe.seed, Stream.STATISTICS).permutation(len(self.train))
        chosen = order[:_STATISTICS_PICTURES].tolist()
        found: list[Targets] = []
        for done, index in enumerate(chosen, start=1):
            found.append(self._batches.label(self.train[index])[1])
            yield Progress("targets", done, len(chosen))
        self.model.head.normalise(*target_statistics(found))

    def _step(self, batch: Batch) -> Taken:
        """Learn a mini-batch. As a rule nothing is read from the device (see `BatchLoss`)."""
        iteration = self._at.iteration
        if self.recipe.svd_rank is not None and iteration == self._cut_at:
            self._solver.cut_fc6(self.recipe.svd_rank)
            self._learner = self._shared()
        self._loss.train()
        self._solver.zero_grad()
        dropout = generator(self.recipe.seed, Stream.DROPOUT, iteration, self._rank)
        with seeded(int(dropout.integers(2**63)), self._device):
            sums: BatchSums = self._learner(batch.to(self._device))
        parts = (sums.cls, sums.loc, sums.foreground, sums.background)
        values = distributed.add_up(torch.stack([part.detach().float() for part in parts]))
        # Gradients are averaged over the processes. So each process divides its sum by the number
        # of all RoIs / number of processes; the average is then the mean over all RoIs.
        (sums.total / (values[2:].sum().clamp(min=1) / self._world)).backward()
        self._solver.step(iteration)
        self._at.iteration += 1
        return Taken(iteration, values, batch.samples, sums)

    def _end_epoch(self, batches: Iterator[Batch]) -> Iterator[Record]:
        epoch = math.ceil(self._at.iteration / self._batches.per_epoch)
        if self.val is not None:
            yield from self._validate(self.val, batches, epoch)
        record = EpochEnd(self._at.iteration, epoch, *self._at.end_epoch())
        self._folder.write(record)
        self._folder.plot(last=self._at.iteration == self.iterations)
        yield record

    def _validate(self, val: Dataset, batches: Iterator[Batch], epoch: int) -> Iterator[Record]:
        values = torch.zeros(3, device=self._device)
        for index in range(self._rank, len(val), self._world):
            batch = next(batches)
            self._loss.eval()
            with torch.no_grad():
                sums: BatchSums = self._loss(batch.to(self._device))
            values += torch.stack([sums.cls, sums.loc, sums.foreground + sums.background])
            yield Progress("validation", index + 1, len(val))
        cls, loc, count = distributed.add_up(values).tolist()
        losses = self._reader.losses(self._at.iteration - 1, cls, loc, count)
        record = Validation(self._at.iteration, epoch, *losses)
        self._folder.write(record)
        yield record

    def _shared(self) -> nn.Module:
        """The loss for a step to call. It shares gradients if several processes train."""
        if self._world == 1:
            return self._loss
        return DistributedDataParallel(self._loss)

    def _save(self) -> CheckpointSaved:
        self._at.averaged = self._solver.averaged
        weights = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        self._folder.save(weights | self._solver.tensors(), self._identity, self._at)
        return CheckpointSaved(self._at.iteration, self._folder.state)

    def _restore(self, tensors: dict[str, Tensor], header: dict) -> None:
        folder, solver = self._folder, self._solver
        at = folder.check(header, self._identity, self.iterations)
        if self.recipe.svd_rank is not None and at.iteration > self._cut_at:
            solver.cut_fc6(self.recipe.svd_rank)
        weights = folder.part("model", tensors, self.model.state_dict())
        average = folder.part("average", tensors, solver.trainable if at.averaged else {})
        for name, tensor in self.model.backbone.named_parameters(prefix="backbone"):
            # The features were made with the present weights, so these must stay as they are.
            if not tensor.requires_grad and not torch.equal(tensor.cpu(), weights[name]):
                raise folder.other_weights("frozen layers")
        try:
            restore_optimizer(solver.optimizer, folder.part("optimizer", tensors))
        except ValueError as error:
            raise folder.damaged(str(error)) from error
        self.model.load_state_dict(weights)
        solver.average = {name: tensor.to(self._device) for name, tensor in average.items()}
        solver.averaged = at.averaged
        self._at = at


def _workers(recipe: Recipe, device: torch.device) -> int:
    """How many processes prepare batches. By default none on a CPU: the network needs it all."""
    if recipe.workers is not None:
        return recipe.workers
    if device.type != "cuda":
        return 0
    return max((os.cpu_count() or 1) // distributed.processes_here(), 1)
