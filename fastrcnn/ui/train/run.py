"""One training on the page: a thread that asks the package's own trainer for its records.

The thread asks for one record after another and keeps what the page shows of them. To pause the
run, the thread stops asking.
"""

from __future__ import annotations

import copy
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.proposals import MODES
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.training.caches import feature_cache, fill_caches
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import Finished, Progress, Step, Validation
from fastrcnn.training.trainer import Trainer, build_model
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import size_of, training_size
from fastrcnn.ui.texts import text, text_of
from fastrcnn.ui.train.held_out import HeldOut, Rhythm
from fastrcnn.ui.train.pictures import Pictures
from fastrcnn.ui.train.turns import PATIENCE, Turns

_SCENE_SECONDS = 2.0  # between two detections on the held-out pictures
_EVALUATIONS = 20  # how often mAP is measured in a whole run

# Makes the training pictures and the held-out pictures, and tells how far it is.
Preparation = Callable[[], Pictures]


@dataclass
class Curves:
    """What a run has recorded so far. The lists only grow at their end.

    steps: (iteration, loss, class loss, box loss, lr, seconds, foreground RoIs). validations:
    (iteration, loss, class loss, box loss). evaluations: those of `HeldOut.measure`, on the
    held-out pictures.
    """

    steps: list[tuple[float, ...]] = field(default_factory=list)
    validations: list[tuple[float, ...]] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)


class Run:
    """One training. Its methods may be called from any thread.

    phase: "waiting" for its turn, "preparing", "training" or "paused". At the end it is "finished",
    "stopped" or "failed"; then `trouble` says why it failed. doing: a longer stage between steps.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Preparation,
        turns: Turns,
        limits: Limits,
        *,
        cache: Path | None = None,
        paused: bool = False,
    ) -> None:
        self.recipe = recipe
        self.phase = "waiting"
        self.trouble: str | None = None
        self.doing: Progress | None = None
        self.curves = Curves()
        self.step: Step | None = None
        self.iterations = recipe.iterations
        self.held_out: HeldOut | None = None
        self.classes: tuple[str, ...] = ()
        self.size = training_size(recipe)  # bytes
        self._data = data
        self._turns = turns
        self._limits = limits
        self._cache = cache
        self._condition = threading.Condition()
        self._steps_wanted = 1e18 if not paused else 0  # steps that are still to be taken
        self._prepares = True  # False while the visitor pauses the preparation
        self._stopping = False
        self._closed = False
        self._last_seen = time.monotonic()
        self._computed = 0.0
        self._active = time.monotonic()  # when it last computed or waited for its turn
        self._trainer: Trainer | None = None
        self._busy = threading.Lock()  # held while the model changes
        self._thread = threading.Thread(target=self._work, name="training run", daemon=True)
        self._thread.start()

    # What the visitor does

    def touch(self) -> None:
        """Note that the visitor is still there."""
        self._last_seen = time.monotonic()

    def resume(self) -> None:
        """Train until the end, or until the visitor pauses or stops."""
        self._change(steps=1e18, prepares=True)

    def pause(self) -> None:
        """Pause after the current step, or after the picture that is being prepared."""
        self._change(steps=0, prepares=False)

    def one_step(self) -> None:
        """Take one more step after the requested ones, then pause."""
        with self._condition:
            left = self._steps_wanted if self._steps_wanted < 1e9 else 0
            self._steps_wanted = max(left, 0) + 1
            self._prepares = True
            self._condition.notify_all()

    def stop(self) -> None:
        """End the training. The trained network stays until `close`."""
        self._change(stopping=True)

    def close(self) -> None:
        """End the training and free all that it holds."""
        self._change(stopping=True, closed=True)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the run's thread to end. Returns whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _change(
        self,
        steps: float | None = None,
        prepares: bool | None = None,
        stopping: bool = False,
        closed: bool = False,
    ) -> None:
        with self._condition:
            if steps is not None:
                self._steps_wanted = steps
            if prepares is not None:
                self._prepares = prepares
            self._stopping |= stopping
            self._closed |= closed
            self._condition.notify_all()

    @property
    def idle(self) -> float:
        """Seconds since the run last computed or waited for its turn."""
        return time.monotonic() - self._active

    @property
    def ahead(self) -> int:
        """How many runs must end or pause before this one's turn."""
        return self._turns.ahead(self)

    def detector(self) -> Detector:
        """A detector with a copy of the present weights. Further training does not change it.

        Raises FastRCNNError before the network is built.
        """
        with self._busy:
            if self._trainer is None:
                raise FastRCNNError(text("server.no-network"))
            model = copy.deepcopy(self._trainer.model).eval()
        return Detector(model.requires_grad_(False), self.metadata(), self.recipe.proposals_mode)

    def checkpoint_size(self) -> int:
        """The bytes of a checkpoint in half precision, without its header.

        Raises FastRCNNError before the network is built.
        """
        trainer = self._trainer
        if trainer is None:
            raise FastRCNNError(text("server.no-network"))
        return size_of(trainer.model) // 2

    def metadata(self) -> dict:
        """The information that a checkpoint of the present state holds about itself."""
        assert self._trainer is not None
        return self._trainer.metadata()

    def target_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that the box targets are normalised with, (4,) each."""
        trainer = self._trainer
        if trainer is None:
            raise FastRCNNError(text("server.no-network"))
        return trainer.model.head.bbox_mean, trainer.model.head.bbox_std

    def metrics(self) -> Path:
        """The file of the trainer's records so far. Raises FastRCNNError if there are none."""
        if self._trainer is None or not self.curves.steps:
            raise FastRCNNError(text("server.no-curves"))
        return self._trainer.metrics_path

    # The thread

    def _work(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="run-", dir=uploads.prepare()) as folder:
                try:
                    self._train(Path(folder))
                except FastRCNNError as error:
                    self._end("failed", text_of(error))
                except MemoryError:
                    self._end("failed", text("server.memory"))
                except Exception:
                    self._end("failed", text("server.own-error"))
                    raise
                finally:
                    self._turns.leave_queue(self)
                    self.doing = None
                    # The results stay available until the visitor leaves.
                    while not self._is_over():
                        with self._condition:
                            self._condition.wait(PATIENCE)
        finally:
            with self._busy:
                self._trainer = None
            self.step = self.held_out = None

    def _end(self, phase: str, trouble: str | None = None) -> None:
        self.phase, self.trouble = phase, trouble

    def _is_over(self) -> bool:
        return self._closed or time.monotonic() - self._last_seen > self._limits.away_seconds

    def _goes_on(self) -> bool:
        return not self._stopping and not self._is_over()

    def _train(self, folder: Path) -> None:
        if not self._wait_for_turn("preparing"):
            return self._end("stopped")
        started = time.monotonic()
        for progress in self._prepare(folder):
            self.doing = progress
            self._count(time.monotonic() - started)
            if not self._wait_for_turn("preparing"):
                return self._end("stopped")
            started = time.monotonic()
        self.doing = None
        trainer, held_out = self._trainer, self.held_out
        assert trainer is not None and held_out is not None
        try:
            held_out.look(trainer.model, trainer.iteration)
            self._follow(trainer, held_out)
        finally:
            trainer.close()
            self.size = size_of(trainer.model)

    def _follow(self, trainer: Trainer, held_out: HeldOut) -> None:
        def look_again() -> None:
            held_out.look(trainer.model, trainer.iteration)

        every = max(trainer.iterations // _EVALUATIONS, 1)
        look = Rhythm(_SCENE_SECONDS)
        evaluation = Rhythm(0)
        while self._wait_for_turn("training"):
            started = time.monotonic()
            with self._busy:
                record = next(trainer)
            self.doing = record if isinstance(record, Progress) else None
            match record:
                case Step():
                    self._note_step(record)
                    if record.iteration % every == 0 and record.iteration < trainer.iterations:
                        evaluation.keep(lambda: self._evaluate(trainer, held_out))
                    look.keep(look_again)
                case Validation():
                    losses = record.loss, record.loss_cls, record.loss_loc
                    self.curves.validations.append((record.iteration, *losses))
                case Finished():
                    # The averaged weights are in place now.
                    self._evaluate(trainer, held_out)
                    look_again()
                    return self._end("finished")
            self._count(time.monotonic() - started)
        return self._end("stopped")

    def _count(self, seconds: float) -> None:
        """Add to the run's computing time. Raises FastRCNNError above the limit."""
        self._computed += seconds
        self._active = time.monotonic()
        if self._computed > 60 * self._limits.training_minutes:
            minutes = f"{self._limits.training_minutes:g}"
            raise FastRCNNError(text("server.minutes", minutes=minutes))

    def _wanted(self, phase: str) -> bool:
        return self._prepares if phase == "preparing" else self._steps_wanted > 0

    def _wait_for_turn(self, phase: str) -> bool:
        """Wait until the visitor wants this phase to go on and it is this run's turn.

        Returns False if the run is to end.
        """

        def still_wanted() -> bool:
            self.phase = "waiting"
            self._active = time.monotonic()
            return self._goes_on() and self._wanted(phase)

        while self._goes_on():
            if self._wanted(phase):
                if self._turns.take(self, still_wanted):
                    self.phase = phase
                    return True
                continue
            if self.phase != "paused":
                if self._trainer is not None and self.held_out is not None and self.step:
                    self.held_out.look(self._trainer.model, self._trainer.iteration)
                self._turns.leave_queue(self)
                self.phase = "paused"
            with self._condition:
                if not self._wanted(phase) and self._goes_on():
                    self._condition.wait(PATIENCE)
        return False

    def _prepare(self, folder: Path) -> Iterator[Progress]:
        train, val = yield from self._data()
        recipe = self.recipe
        model = build_model(recipe, train.classes)
        features = feature_cache(recipe, model, self._cache)
        proposals = ProposalCache(MODES[recipe.proposals_mode], self._cache)
        trainer = Trainer(
            recipe, model, train, val, out=folder, proposals=proposals, features=features
        )
        yield from fill_caches(trainer, features, proposals)
        self.classes = train.classes
        self.iterations = trainer.iterations
        self.held_out = HeldOut(trainer.val, proposals)
        self._trainer = trainer

    def _note_step(self, step: Step) -> None:
        with self._condition:
            self._steps_wanted -= 1
        self.step = step
        losses = step.loss, step.loss_cls, step.loss_loc
        self.curves.steps.append((step.iteration, *losses, step.lr, step.seconds, step.foreground))

    def _evaluate(self, trainer: Trainer, held_out: HeldOut) -> None:
        """Measure mAP on the held-out pictures."""
        if not held_out.pictures:
            return
        for result in held_out.measure(trainer.model, trainer.iteration):
            if isinstance(result, Progress):
                self.doing = result
            else:
                self.curves.evaluations.append(result)
            if not self._goes_on():
                return
        self.doing = None
