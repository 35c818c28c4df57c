"""A run's folder: its metrics, its curves, and the state from which it can resume.

The state is one safetensors file with a JSON header, replaced in one step. The header holds
everything that random numbers depend on. So a resumed run gives the same numbers as an unbroken
one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastrcnn.data import Dataset
from fastrcnn.errors import CheckpointError, DataError, RecipeError, reason
from fastrcnn.runtime.atomic_write import atomic_write, remove_parts
from fastrcnn.training.plots import plot_losses, read_metrics
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import EpochEnd, Step, Validation

_HEADER_KEY = "fastrcnn_run"
_FORMAT_VERSION = 2
_PLOT_SECONDS = 10.0  # drawing takes most of a second; a small data set's epoch takes less
# Settings that may change when a run resumes. All others affect its result.
_FREE = {"checkpoint_minutes", "workers"}


@dataclass
class Position:
    """Where a run is.

    iteration: how many are done. averaged: the number of iterations in the weights' average.
    epoch_sums: the sums of total, class and box loss over the epoch's steps so far. epoch_steps:
    the number of these steps. metrics_size: the bytes written to the metrics.
    """

    iteration: int = 0
    averaged: int = 0
    epoch_sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    epoch_steps: int = 0
    metrics_size: int = 0

    def add(self, step: Step) -> None:
        """Add a step's losses to the epoch's sums."""
        for index, value in enumerate((step.loss, step.loss_cls, step.loss_loc)):
            self.epoch_sums[index] += value
        self.epoch_steps += 1

    def end_epoch(self) -> tuple[float, ...]:
        """Give the mean losses of the epoch's steps and begin the next epoch."""
        means = tuple(value / self.epoch_steps for value in self.epoch_sums)
        self.epoch_sums, self.epoch_steps = [0.0, 0.0, 0.0], 0
        return means


def identity(
    recipe: Recipe, train: Dataset, val: Dataset | None, start: Mapping[str, Tensor]
) -> dict:
    """The values that must be the same when a run resumes, in JSON types.

    start: the weights that the run remembers from its beginning.
    """
    digest = hashlib.sha256(repr(train.classes).encode())
    for dataset in (train, val):
        for annotation in dataset or ():
            digest.update(annotation.image_id.encode())
            digest.update(annotation.boxes.tobytes() + annotation.labels.tobytes())
    weights = hashlib.sha256()
    for tensor in start.values():
        weights.update(tensor.cpu().contiguous().numpy().tobytes())
    return {
        "recipe": recipe.model_dump(mode="json", exclude=_FREE),
        "data": digest.hexdigest(),
        "start": weights.hexdigest(),
    }


class RunFolder:
    """Reads and writes a run's files. With several processes only the first one writes.

    metrics: ``metrics.jsonl``, a line for every step, validation and epoch. Raises DataError if
    something cannot be written.
    """

    def __init__(self, path: Path, writes: bool) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.state = path / "state.safetensors"
        self._writes = writes
        self._plotted = -math.inf

    def open(self, resume: bool) -> tuple[dict[str, Tensor], dict] | None:
        """Make the folder, and give the state to resume from if there is one."""
        if not self._writes:
            return None
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
        found = None
        if self.state.exists():
            if not resume:
                raise RecipeError(
                    f"{self.path} holds a run already; resume it, or name another folder."
                )
            found = load_state(self.state)
        remove_parts(self.path, time.time())
        return found

    def check(self, header: dict, now: dict, iterations: int) -> Position:
        """The position in the header of a state, in a run of so many iterations.

        now: the result of `identity`. Raises CheckpointError for a header that this program did
        not write, RecipeError or DataError if the run was started with values other than `now`.
        """
        if header.get("format_version") != _FORMAT_VERSION:
            raise CheckpointError(
                f"{self.state} is of another version of this program; start anew."
            )
        before = header.get("recipe")
        if not isinstance(before, dict):
            raise self.damaged("it names no recipe")
        changed = [key for key, value in now["recipe"].items() if before.get(key) != value]
        if changed:
            was = ", ".join(f"{key}={before.get(key)}" for key in changed)
            raise RecipeError(
                f"The run in {self.path} was started with {was}; resume it with the same settings, "
                f"or name another folder."
            )
        if header.get("data") != now["data"]:
            raise DataError(
                f"The run in {self.path} was started on other data; resume it with the same, or "
                f"name another folder."
            )
        if header.get("start") != now["start"]:
            raise self.other_weights("convolutions")
        return self._position(header.get("position"), iterations)

    def _position(self, values: object, iterations: int) -> Position:
        names = {field.name for field in fields(Position)}
        if not isinstance(values, dict) or values.keys() != names:
            raise self.damaged("its position is not complete")
        at = Position(**values)
        counts = (at.iteration, at.averaged, at.epoch_steps, at.metrics_size)
        if not (
            all(type(count) is int and count >= 0 for count in counts)
            and at.averaged <= at.iteration <= iterations
            # The last state is saved before the last epoch is closed.
            and (at.epoch_steps > 0 or at.iteration < iterations)
            and isinstance(at.epoch_sums, list)
            and len(at.epoch_sums) == 3
            and all(type(value) is float and math.isfinite(value) for value in at.epoch_sums)
        ):
            raise self.damaged("its position is not one in this run")
        return at

    def part(
        self, prefix: str, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The tensors whose names start with ``prefix.``, with that prefix removed.

        like: tensors with the names, shapes and types that must be there. Raises CheckpointError
        if anything differs.
        """
        start = f"{prefix}."
        found = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        if like is None:
            return found
        if found.keys() != like.keys():
            name = min(found.keys() ^ like.keys())
            raise self.damaged(f"{name} is {'extra' if name in found else 'missing'}")
        for name, tensor in like.items():
            if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
                raise self.damaged(
                    f"{name} is {list(found[name].shape)} {found[name].dtype}, not "
                    f"{list(tensor.shape)} {tensor.dtype}"
                )
        return found

    def damaged(self, why: str) -> CheckpointError:
        """The error for a state that this run cannot have written."""
        return CheckpointError(
            f"{self.state} is not a state of this run ({why}); delete it to start anew."
        )

    def other_weights(self, where: str) -> RecipeError:
        """The error for a run that began with weights other than the present ones."""
        return RecipeError(
            f"The run in {self.path} was started with other weights in the {where}; resume it with "
            f"the same, or name another folder."
        )

    def save(self, tensors: dict[str, Tensor], now: dict, position: Position) -> None:
        """Write the state. The metrics so far are put on the disk first.

        Raises RecipeError if a number is not finite, and keeps the state before.
        """
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise RecipeError(
                    f"{name} has values that are not finite numbers: the training diverged; lower "
                    f"lr, or give a longer warmup or a larger divisor."
                )
        with self._writing(), self.metrics.open("ab") as file:
            os.fsync(file.fileno())
            position.metrics_size = file.tell()
        header = {"format_version": _FORMAT_VERSION, **now, "position": asdict(position)}
        save_state(self.state, tensors, header)

    def cut_metrics(self, size: int) -> None:
        """Cut the metrics to `size` bytes: drop all that was written after the saved state."""
        if self._writes:
            with self._writing(), self.metrics.open("ab") as file:
                file.truncate(min(size, file.tell()))

    def write(self, record: Step | Validation | EpochEnd) -> None:
        """Add a record to the metrics."""
        if not self._writes:
            return
        values = {
            field.name: getattr(record, field.name)
            for field in fields(record)
            if field.name not in ("batch", "outcomes", "iterations", "seconds_left")
        }
        event = {Step: "step", Validation: "validation", EpochEnd: "epoch"}[type(record)]
        with self._writing(), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **values}) + "\n")

    def plot(self, last: bool) -> None:
        """Draw the curves, unless they were drawn a moment ago."""
        if self._writes and (last or time.monotonic() - self._plotted >= _PLOT_SECONDS):
            with self._writing():
                plot_losses(read_metrics(self.metrics), self.path / "loss.png")
            self._plotted = time.monotonic()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"The run's folder {self.path} cannot be written ({error.strerror}); make room, or "
                f"name another."
            ) from error


def save_state(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write the state. At any moment `path` holds a complete file, the old or the new.

    Raises CheckpointError when it cannot be written.
    """
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with atomic_write(path) as part:
            save_file(tensors, part, metadata={_HEADER_KEY: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The state of the run cannot be written to {path} ({reason(error)}); make room, or "
            f"name another folder."
        ) from error


def load_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read the tensors and header that `save_state` wrote. All numbers are finite.

    Raises CheckpointError for any other file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER_KEY])
            # Copied, since these tensors are views of the file, and the file will be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    # RecursionError: brackets nested thousands deep.
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not the state of a training run ({reason(error)}); delete it to start anew."
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(
            f"{path} is not the state of a training run (its header is no set of names and "
            f"values); delete it to start anew."
        )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{path} holds values of {name} that are not finite numbers; delete it to start "
                f"anew."
            )
    return tensors, header
