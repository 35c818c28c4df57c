"""The trainings that are running on the page, each visitor's own.

A run has a thread. The thread asks the package's own trainer for one record after another and keeps
what the page shows of them. To pause a run, the thread stops asking. A few runs compute at a time.
The others wait for their turn, first come, first served. A paused run does not block the next one.
A run ends when its visitor leaves, starts another run, or makes no request about it for a while.
"""

from __future__ import annotations

import copy
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.evaluation.average_precision import score_detections
from fastrcnn.images import load_image
from fastrcnn.proposals import MODES
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.training.caches import feature_cache, fill_caches
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import Finished, Progress, Step, Validation
from fastrcnn.training.trainer import Trainer, build_model
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory, size_of, training_size
from fastrcnn.ui.texts import text, text_of

SHOWN_SCENES = 4  # held-out pictures whose detections are shown as the model learns
_SCENE_SECONDS = 2.0  # between two detections on them
_EVALUATIONS = 20  # how often mAP is measured in a whole run
_EVALUATED = 50  # held-out pictures on which mAP is measured
_LEAST_SCORE = 0.05  # of a measured detection; lower scores hardly change an average precision
_SHARE = 4.0  # detecting and measuring get at most a fifth of the time
_PATIENCE = 1.0  # seconds between two checks that the visitor is still there


class TooMany(FastRCNNError):
    """The limit of runs is reached."""


class Turns:
    """Lets `at_once` runs compute at a time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._condition = threading.Condition()
        self._queue: list[object] = []  # the runs that compute now come first

    def take(self, who: object, still_wanted: Callable[[], bool]) -> bool:
        """Wait for a turn. Returns False if the turn is no longer wanted."""
        with self._condition:
            if who not in self._queue:
                self._queue.append(who)
            while self._queue.index(who) >= self._at_once:
                if not still_wanted():
                    self._queue.remove(who)
                    return False
                self._condition.wait(_PATIENCE)
            return True

    def give_back(self, who: object) -> None:
        """End the turn of `who`, or its wait for a turn."""
        with self._condition:
            if who in self._queue:
                self._queue.remove(who)
            self._condition.notify_all()

    def ahead(self, who: object) -> int:
        """How many turns must end before that of `who` begins. 0 if it has its turn."""
        with self._condition:
            if who not in self._queue:
                return 0
            return max(self._queue.index(who) - self._at_once + 1, 0)


@dataclass
class Curves:
    """What a run has recorded so far. The lists only grow at their end.

    steps: (iteration, loss, class loss, box loss, lr, seconds). validations: (iteration, loss,
    class loss, box loss). evaluations: ``{"iteration", "map", "ap"}``, on held-out pictures.
    """

    steps: list[tuple[float, ...]] = field(default_factory=list)
    validations: list[tuple[float, ...]] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Scenes:
    """The held-out pictures and what was found on each after `iteration` steps."""

    iteration: int
    found: tuple[Detections, ...]


class _Rhythm:
    """Repeats some work after a pause of `seconds`, or longer if the work itself takes long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def keep(self, work: Callable[[], None]) -> None:
        started = time.monotonic()
        if started >= self._next:
            work()
            ended = time.monotonic()
            self._next = ended + max(self._seconds, _SHARE * (ended - started))


class Run:
    """One training. Its methods may be called from any thread.

    phase: "waiting" for its turn, "preparing", "training" or "paused". At the end it is "finished",
    "stopped" or "failed"; then `trouble` says why it failed. doing: a longer stage between steps.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Callable[[], tuple[Dataset, Dataset | None]],
        turns: Turns,
        limits: Limits,
        *,
        cache: Path | None = None,
        paused: bool = False,
    ) -> None:
        """train: returns the training pictures and the held-out pictures. It may be slow."""
        self.recipe = recipe
        self.phase = "waiting"
        self.trouble: str | None = None
        self.doing: Progress | None = None
        self.curves = Curves()
        self.step: Step | None = None
        self.iterations = recipe.iterations
        self.held_out: tuple[Annotation, ...] = ()
        self.scenes: Scenes | None = None
        self.classes: tuple[str, ...] = ()
        self.size = training_size(recipe)  # bytes
        self._data = train
        self._turns = turns
        self._limits = limits
        self._cache = cache
        self._condition = threading.Condition()
        self._steps_wanted = 1e18 if not paused else 0  # steps that are still to be taken
        self._stopping = False
        self._closed = False
        self._asked = time.monotonic()
        self._computed = 0.0
        self._active = time.monotonic()  # when it last computed or waited for its turn
        self._folder: Path | None = None
        self._trainer: Trainer | None = None
        self._busy = threading.Lock()  # held while the model changes
        self._thread = threading.Thread(target=self._work, name="training run", daemon=True)
        self._thread.start()

    # What the visitor does

    def touch(self) -> None:
        """Note that the visitor is still there."""
        self._asked = time.monotonic()

    def resume(self) -> None:
        """Train until the end, or until the visitor pauses or stops."""
        self._change(steps=1e18)

    def pause(self) -> None:
        """Pause after the current step."""
        self._change(steps=0)

    def one_step(self) -> None:
        """Take one more step after the requested ones, then pause."""
        with self._condition:
            asked = self._steps_wanted if self._steps_wanted < 1e9 else 0
            self._steps_wanted = max(asked, 0) + 1
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
        self, steps: float | None = None, stopping: bool = False, closed: bool = False
    ) -> None:
        with self._condition:
            if steps is not None:
                self._steps_wanted = steps
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
                    self._turns.give_back(self)
                    self.doing = None
                    # The results stay available until the visitor leaves.
                    while not self._is_over():
                        with self._condition:
                            self._condition.wait(_PATIENCE)
        finally:
            with self._busy:
                self._trainer = None
            self.step = self.scenes = None

    def _end(self, phase: str, trouble: str | None = None) -> None:
        self.phase, self.trouble = phase, trouble

    def _is_over(self) -> bool:
        return self._closed or time.monotonic() - self._asked > self._limits.away_seconds

    def _goes_on(self) -> bool:
        return not self._stopping and not self._is_over()

    def _train(self, folder: Path) -> None:
        if not self._take_turn("preparing"):
            return self._end("stopped")
        started = time.monotonic()
        for progress in self._prepare(folder):
            self.doing = progress
            if not self._goes_on():
                return self._end("stopped")
            self._count(time.monotonic() - started)
            started = time.monotonic()
        self.doing = None
        trainer = self._trainer
        assert trainer is not None
        try:
            self._look(trainer)
            self._follow(trainer)
        finally:
            trainer.close()
            self.size = size_of(trainer.model)

    def _follow(self, trainer: Trainer) -> None:
        every = max(trainer.iterations // _EVALUATIONS, 1)
        look = _Rhythm(_SCENE_SECONDS)
        evaluation = _Rhythm(0)
        while self._wait_for_leave():
            started = time.monotonic()
            with self._busy:
                record = next(trainer)
            self.doing = record if isinstance(record, Progress) else None
            match record:
                case Step():
                    self._note_step(record)
                    if record.iteration % every == 0 and record.iteration < trainer.iterations:
                        evaluation.keep(lambda: self._evaluate(trainer))
                    look.keep(lambda: self._look(trainer))
                case Validation():
                    losses = record.loss, record.loss_cls, record.loss_loc
                    self.curves.validations.append((record.iteration, *losses))
                case Finished():
                    # The averaged weights are in place now.
                    self._evaluate(trainer)
                    self._look(trainer)
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

    def _take_turn(self, phase: str) -> bool:
        def still_wanted() -> bool:
            self.phase = "waiting"
            self._active = time.monotonic()
            return self._goes_on() and (phase == "preparing" or self._steps_wanted > 0)

        if not self._turns.take(self, still_wanted):
            return False
        self.phase = phase
        return True

    def _wait_for_leave(self) -> bool:
        """Wait until the next record may be computed. Returns False if the run is to end."""
        while self._goes_on():
            if self._steps_wanted > 0:
                # A step that was asked for may be followed by what is not a step.
                if self._take_turn("training"):
                    return True
                continue
            if self.phase != "paused":
                if self._trainer is not None and self.step is not None:
                    self._look(self._trainer)
                self._turns.give_back(self)
                self.phase = "paused"
            with self._condition:
                if self._steps_wanted <= 0 and self._goes_on():
                    self._condition.wait(_PATIENCE)
        return False

    def _prepare(self, folder: Path) -> Iterator[Progress]:
        yield Progress("pictures", 0, 1)
        train, val = self._data()
        recipe = self.recipe
        model = build_model(recipe, train.classes)
        features = feature_cache(recipe, model, self._cache)
        proposals = ProposalCache(MODES[recipe.proposals_mode], self._cache)
        trainer = Trainer(
            recipe, model, train, val, out=folder, proposals=proposals, features=features
        )
        yield from fill_caches(trainer, features, proposals)
        self._proposals = proposals
        self.classes = train.classes
        self.iterations = trainer.iterations
        self.held_out = tuple(trainer.val or ())[:_EVALUATED]
        self._pixels = [load_image(item.path) for item in self.held_out[:SHOWN_SCENES]]
        self._trainer = trainer

    def _note_step(self, step: Step) -> None:
        with self._condition:
            self._steps_wanted -= 1
        self.step = step
        losses = step.loss, step.loss_cls, step.loss_loc
        self.curves.steps.append((step.iteration, *losses, step.lr, step.seconds))

    def _detect(self, trainer: Trainer, annotation: Annotation, image: np.ndarray) -> Detections:
        detector = Detector(trainer.model)
        boxes = self._proposals.get(annotation)
        return detector.trace(image, score_threshold=_LEAST_SCORE, boxes=boxes).detections

    def _look(self, trainer: Trainer) -> None:
        """Detect on the shown pictures."""
        self.scenes = Scenes(
            trainer.iteration,
            tuple(
                self._detect(trainer, annotation, image)
                for annotation, image in zip(self.held_out, self._pixels, strict=False)
            ),
        )

    def _evaluate(self, trainer: Trainer) -> None:
        """Measure mAP on the held-out pictures."""
        if not self.held_out:
            return
        found = {}
        for done, annotation in enumerate(self.held_out, start=1):
            if not self._goes_on():
                return
            found[annotation.image_id] = self._detect(
                trainer, annotation, load_image(annotation.path)
            )
            self.doing = Progress("mAP", done, len(self.held_out))
        self.doing = None
        dataset = Dataset("held-out pictures", trainer.train.classes, self.held_out)
        scores = score_detections(found, dataset).to_json_dict()
        self.curves.evaluations.append(
            {"iteration": trainer.iteration, "map": scores["map_area"], "ap": scores["ap"]}
        )


class Runs:
    """All visitors' runs. Its methods may be called from any thread."""

    def __init__(self, limits: Limits | None = None, memory: Memory | None = None) -> None:
        """memory: counts what is kept here. By default it counts nothing else."""
        self.limits = limits or Limits()
        self._memory = memory or Memory(self.limits)
        self._memory.holders.append(self.held)
        self._turns = Turns(self.limits.trainings)
        self._lock = threading.Lock()
        self._by_token: dict[str, Run] = {}
        self._tokens: dict[str, str] = {}  # by session

    def __len__(self) -> int:
        return len(self._by_token)

    def start(
        self,
        session: str,
        recipe: Recipe,
        data: Callable[[], tuple[Dataset, Dataset | None]],
        *,
        cache: Path | None = None,
        paused: bool = False,
    ) -> str:
        """Replace a session's run with a new one. Returns the new run's token.

        Raises TooMany or Full.
        """
        size = training_size(recipe)
        self._memory.check(session, size, freed=self.held(session))
        self.close(session)
        token = secrets.token_urlsafe(16)
        with self._lock:
            for old in [t for t, run in self._by_token.items() if run.join(0)]:
                del self._by_token[old]
            # Forget the tokens of ended runs too, or their number would only grow.
            self._tokens = {s: t for s, t in self._tokens.items() if t in self._by_token}
            if len(self._by_token) >= self.limits.open_trainings:
                self._make_room()
            run = Run(recipe, data, self._turns, self.limits, cache=cache, paused=paused)
            self._by_token[token] = run
            self._tokens[session] = token
        return token

    def _make_room(self) -> None:
        """Close the run that has been idle longest. Raises TooMany if that is not long enough."""
        token, run = max(self._by_token.items(), key=lambda item: item[1].idle)
        if run.idle < 60 * self.limits.idle_minutes:
            raise TooMany(text("server.trainings", count=self.limits.open_trainings))
        del self._by_token[token]
        run.close()

    def get(self, token: object) -> Run:
        """The run of this token. Notes that its visitor is there. Raises FastRCNNError."""
        run = self._by_token.get(token) if isinstance(token, str) else None
        if run is None or run.join(0):
            raise FastRCNNError(text("server.training-gone"))
        run.touch()
        return run

    def held(self, session: str | None) -> int:
        """The bytes of a session's training. None: those of all sessions."""
        with self._lock:
            own = self._tokens.get(session or "")
            runs = [run for token, run in self._by_token.items() if session is None or token == own]
        return sum(run.size for run in runs if not run.join(0))

    def close(self, session: str) -> None:
        """Close a session's run."""
        with self._lock:
            run = self._by_token.pop(self._tokens.pop(session, ""), None)
        if run is not None:
            run.close()
