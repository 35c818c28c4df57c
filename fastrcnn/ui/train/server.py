"""The Train tab: the package's own trainer trains a detector while the visitor watches.

The browser starts a run by an event, which gives it the run's token. Then, a few times a
second, it requests what is new from the functions of `_Server`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.runtime.array_folder import trim_cache
from fastrcnn.training.plots import plot_losses, read_metrics
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.recipes import RECIPES
from fastrcnn.ui.explore.payloads import numbers, objects, picture
from fastrcnn.ui.explore.server import Explore
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.gradio_private import event_values
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.sessions import Analyses, Analysis
from fastrcnn.ui.shared import takeaways
from fastrcnn.ui.shared.inputs import session_of, whole
from fastrcnn.ui.shared.replies import error_note, error_note_in_browser, error_reply, replying
from fastrcnn.ui.shared.view import build_view
from fastrcnn.ui.texts import text, text_of
from fastrcnn.ui.train import payloads
from fastrcnn.ui.train.form import KNOBS, RECIPE_NAMES, Chosen, defaults, read_form
from fastrcnn.ui.train.held_out import SHOWN_SCENES, HeldOut
from fastrcnn.ui.train.pictures import (
    Pictures,
    held_out_count,
    held_out_options,
    read_pictures,
    writable_cache,
)
from fastrcnn.ui.train.run import Run
from fastrcnn.ui.train.runs import Runs

_MOST_PICTURES = 2001  # the largest allowed number is one less


def build_train(runs: Runs, analyses: Analyses, explore: Explore, tabs: gr.Tabs) -> None:
    """Build the tab inside an open `gr.Tab`.

    runs: keeps the visitors' trainings. analyses, explore: use a trained detector. tabs: shows the
    Explore tab then.
    """
    server = _Server(runs)
    local = not os.environ.get("SPACE_ID")  # Hugging Face sets it on a Space

    def start(event: gr.EventData, request: gr.Request) -> dict:
        try:
            return _start(runs, session_of(request), event_values(event), local)
        except FastRCNNError as error:
            return error_note(text_of(error))

    def look(event: gr.EventData, request: gr.Request) -> Iterator[tuple[Any, Any, Any]]:
        session = session_of(request)
        try:
            run = runs.get(event_values(event).get("token"))
            detector = run.detector()
            pictures = run.held_out.pictures if run.held_out else ()
            index = whole(event_values(event).get("scene"), "scene", len(pictures))
            analyses.use(session, detector)
        except FastRCNNError as error:
            yield gr.skip(), gr.skip(), error_note(text_of(error))
            return
        item = pictures[index]
        known = tuple(objects(item, run.classes))
        analysis = Analysis(item.path.name, detector, objects=known)
        for note in explore.open(analysis, item.path, session):
            yield gr.Tabs(selected="explore"), note, gr.skip()

    view = build_view(
        Path(__file__).parent,
        ("start", "look"),
        server.functions(),
        local=local,
        recipes={name: defaults(RECIPES[name]) for name in RECIPE_NAMES},
        knobs=[vars(knob) for knob in KNOBS],
    )
    options = {"show_progress": "hidden", "api_visibility": "private"}
    started = view.start(start, None, view, concurrency_limit=4, **options)
    looked = view.look(
        look,
        None,
        [tabs, explore.view, view],
        concurrency_limit=runs.limits.analyses,
        concurrency_id="analysis",
        **options,
    )
    for event in (started, looked):
        event.failure(
            None,
            None,
            view,
            js=error_note_in_browser(text("server.failed", count=runs.limits.queue)),
            **options,
        )


def _start(runs: Runs, session: str, inputs: dict, local: bool) -> dict:
    chosen = read_form(inputs)
    _check_batch(chosen.recipe, runs.limits)
    # A run of the page cannot be resumed, so it saves no state.
    recipe = chosen.recipe.but(checkpoint_minutes=1e6)
    pictures = whole(inputs.get("pictures"), "pictures", _MOST_PICTURES)
    folder = inputs.get("folder")
    own = folder.strip() if isinstance(folder, str) else ""
    data = read_pictures(recipe, pictures, own, local)
    # The visitors' caches have a folder of their own, apart from the owner's, and a size limit.
    cache = writable_cache() if own else writable_cache() / "page"
    most = runs.limits.cache_mb * 2**20

    def prepare() -> Pictures:
        if not own:
            trim_cache(cache, most)
        return (yield from data(cache))

    token = runs.start(session, recipe, prepare, cache=cache, paused=inputs.get("paused") is True)
    return {
        "token": token,
        "recipe": chosen.name,
        "changed": chosen.changed,
        "pictures": pictures if pictures != defaults(recipe)["pictures"] else None,
        "folder": Path(own).name if own else None,
        "command": _command(chosen, pictures, own),
    }


def _command(chosen: Chosen, pictures: int, folder: str) -> str:
    """The command line that trains the same. folder: the visitor's own, or empty."""
    command = ["python", "-m", "fastrcnn", "train", "--recipe", chosen.name]
    data = str(Path(folder).expanduser()) if folder else "SHAPES"
    command += ["--data", data, "--limit", str(pictures), "--out", "runs/mine"]
    command += held_out_options(chosen.recipe, pictures, folder)
    for setting in chosen.settings:
        command += ["--set", setting]
    counts = f"--train {pictures} --val {held_out_count(pictures)}"
    drawing = f"python -m fastrcnn shapes --out SHAPES {counts} && "
    return ("" if folder else drawing) + shlex.join(command)


def _check_batch(recipe: Recipe, limits: Limits) -> None:
    """Refuse mini-batches that could take more memory than there is."""
    for name, most in (
        ("images_per_batch", limits.batch_pictures),
        ("rois_per_batch", limits.batch_rois),
    ):
        value = getattr(recipe, name)
        if value > most:
            raise FastRCNNError(text("server.batch", name=name, value=value, most=most))


class _Server:
    """What the browser may request of its run. The inputs name the run by its token."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def functions(self) -> list[Callable]:
        functions = (
            *(self.progress, self.batch, self.scenes, self.history, self.precision_recall),
            *(self.control, self.takeaway),
        )
        return [replying(function) for function in functions]

    def progress(self, inputs: dict) -> dict:
        """The run's progress, and the part of its curves that the browser does not have yet."""
        run = self._run(inputs)
        curves = run.curves
        steps, validations, evaluations = (
            whole(inputs.get(name, 0), name, 2**31)
            for name in ("steps", "validations", "evaluations")
        )
        doing, step = run.doing, run.step
        held_out = run.held_out
        scenes = held_out and held_out.scenes
        measured = held_out and held_out.precision_recall
        return {
            "phase": run.phase,
            "trouble": run.trouble and error_reply(run.trouble),
            "ahead": run.ahead,
            "doing": doing and {"stage": doing.stage, "done": doing.done, "total": doing.total},
            "iterations": run.iterations,
            "left": step and round(step.seconds_left, 1),
            "classes": list(run.classes),
            "steps": curves.steps[steps:],
            "validations": curves.validations[validations:],
            "evaluations": curves.evaluations[evaluations:],
            "scenes": scenes and scenes.iteration,
            "precision_recall": measured and measured.iteration,
        }

    def batch(self, inputs: dict) -> dict:
        """The last mini-batch: its pictures as the network saw them, and their sampled RoIs."""
        run = self._run(inputs)
        step = run.step
        if step is None:
            raise FastRCNNError(text("server.no-batch"))
        mean, std = run.target_scale()
        return {
            "iteration": step.iteration,
            "foreground": step.foreground,
            "background": step.background,
            "pictures": [
                payloads.sample(sample, outcome)
                for sample, outcome in zip(step.batch, step.outcomes, strict=True)
            ],
            "mean": numbers(mean, 4),
            "std": numbers(std, 4),
            "beta": run.recipe.smooth_l1_beta,
        }

    def scenes(self, inputs: dict) -> dict:
        """The detections on a few held-out pictures, with the pictures if the inputs ask."""
        run = self._run(inputs)
        held_out = _held_out_of(run)
        scenes = held_out.scenes
        if scenes is None:
            raise FastRCNNError(text("server.no-scenes"))
        reply: dict[str, Any] = {
            "iteration": scenes.iteration,
            "found": [d.to_list() for d in scenes.found],
        }
        if inputs.get("pictures"):
            reply["pictures"] = [
                picture(load_image(item.path))
                | {"objects": objects(item, run.classes)}
                | {"followed": payloads.followed(followed)}
                for item, followed in zip(
                    held_out.pictures[:SHOWN_SCENES], held_out.followed, strict=True
                )
            ]
        return reply

    def history(self, inputs: dict) -> dict:
        """What the network made of one followed box of a held-out picture since the start."""
        held_out = _held_out_of(self._run(inputs))
        scene = whole(inputs.get("scene"), "scene", len(held_out.followed))
        followed = held_out.followed[scene]
        return payloads.history(followed, whole(inputs.get("box"), "box", len(followed.boxes)))

    def precision_recall(self, inputs: dict) -> dict:
        """The curves of precision and recall behind the newest mAP."""
        measured = _held_out_of(self._run(inputs)).precision_recall
        if measured is None:
            raise FastRCNNError(text("server.no-map"))
        return payloads.precision_recall(measured)

    def control(self, inputs: dict) -> dict:
        """Resume, pause, take one step or stop."""
        run = self._run(inputs)
        actions = {
            "resume": run.resume,
            "pause": run.pause,
            "step": run.one_step,
            "stop": run.stop,
        }
        action = inputs.get("action")
        if action not in actions:
            raise FastRCNNError(text("server.actions", names=", ".join(actions)))
        actions[action]()
        return {"phase": run.phase}

    def takeaway(self, inputs: dict) -> dict:
        """The curves as the trainer writes and draws them, or the network as a checkpoint."""
        run = self._run(inputs)
        kind = inputs.get("kind")
        if kind == "jsonl":
            return {"name": "metrics.jsonl", "text": run.metrics().read_text(encoding="utf-8")}
        if kind == "png":
            with TemporaryDirectory(prefix="takeaway-", dir=uploads.prepare()) as folder:
                path = Path(folder) / "loss.png"
                plot_losses(read_metrics(run.metrics()), path)
                return takeaways.file(path, "image/png")
        return takeaways.checkpoint(run.checkpoint_size(), run.detector)

    def _run(self, inputs: dict) -> Run:
        return self._runs.get(inputs.get("token"))


def _held_out_of(run: Run) -> HeldOut:
    if run.held_out is None:
        raise FastRCNNError(text("server.no-scenes"))
    return run.held_out
