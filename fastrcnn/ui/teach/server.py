"""The Teach tab: a visitor draws boxes around things of a new class, and the detector learns it.

The browser adds photographs and starts the teaching by events. Each event gives the view notes as
its value: which photographs there are, what is being done, and the steps that were learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.training.new_class import NEW_CLASS, Taught, learn_new_class, with_new_class
from fastrcnn.ui.explore.examples import Example
from fastrcnn.ui.explore.payloads import data_url, picture
from fastrcnn.ui.explore.server import Explore
from fastrcnn.ui.hosting.gradio_private import event_values
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import size_of
from fastrcnn.ui.sessions import Analyses, Analysis
from fastrcnn.ui.shared import takeaways
from fastrcnn.ui.shared.inputs import box, photograph, session_of
from fastrcnn.ui.shared.replies import error_note, error_note_in_browser, replying
from fastrcnn.ui.shared.view import build_view
from fastrcnn.ui.teach.albums import Album, Albums, Photo
from fastrcnn.ui.teach.lesson import FACES
from fastrcnn.ui.texts import text, text_of

_STEPS_A_NOTE = 10
_MOST_BOXES = 20  # on one photograph
_LONGEST_NAME = 30  # letters


def build_teach(
    albums: Albums,
    analyses: Analyses,
    explore: Explore,
    tabs: gr.Tabs,
    examples: dict[str, Example],
    limits: Limits,
) -> None:
    """Build the tab inside an open `gr.Tab`.

    albums: keeps the visitors' photographs. analyses, explore: use a taught detector. tabs: shows
    the Explore tab then.
    """
    teacher = Teacher(albums, analyses, examples, limits)

    def collect(event: gr.EventData, request: gr.Request) -> Iterator[dict]:
        yield from _noting_errors(teacher.add(session_of(request), event_values(event)))

    def teach(event: gr.EventData, request: gr.Request) -> Iterator[dict]:
        yield from _noting_errors(teacher.teach(session_of(request), event_values(event)))

    def look(event: gr.EventData, request: gr.Request) -> Iterator[tuple[Any, Any, Any]]:
        session = session_of(request)
        try:
            analysis, photo = teacher.look(session, event_values(event))
        except FastRCNNError as error:
            yield gr.skip(), gr.skip(), error_note(text_of(error))
            return
        for note in explore.open(analysis, photo.trace.image, session):
            yield gr.Tabs(selected="explore"), note, gr.skip()

    view = build_view(
        Path(__file__).parent,
        ("collect", "teach", "look"),
        teacher.functions(),
        most=limits.album_photos,
        longest=_LONGEST_NAME,
        boxes=_MOST_BOXES,
        lesson={name: boxes for name, boxes in FACES.items() if name in examples},
        examples=[
            {"name": name, "src": data_url(example.thumbnail, "JPEG", quality=80)}
            for name, example in examples.items()
        ],
    )
    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    analysis = {"concurrency_limit": limits.analyses, "concurrency_id": "analysis"}
    collected = view.collect(collect, None, view, **analysis, **options)
    taught = view.teach(
        teach, None, view, concurrency_limit=limits.teachings, concurrency_id="teaching", **options
    )
    looked = view.look(look, None, [tabs, explore.view, view], **analysis, **options)
    failed = error_note_in_browser(text("server.failed", count=limits.queue))
    for event in (collected, taught, looked):
        event.failure(None, None, view, js=failed, **options)


def _noting_errors(notes: Iterator[dict]) -> Iterator[dict]:
    """The notes; an error becomes the last one."""
    try:
        yield from notes
    except FastRCNNError as error:
        yield error_note(text_of(error))


class Teacher:
    """What the browser may ask for: to add photographs, to teach, and to take the result away."""

    def __init__(
        self, albums: Albums, analyses: Analyses, examples: dict[str, Example], limits: Limits
    ) -> None:
        self._albums = albums
        self._analyses = analyses
        self._examples = examples
        self._limits = limits

    def functions(self) -> list[Callable]:
        """What the view's script may call."""
        return [replying(function) for function in (self.photo, self.remove, self.takeaway)]

    # Events

    def add(self, session: str, inputs: dict) -> Iterator[dict]:
        """Add photographs: ``files`` that were uploaded, or ``examples`` by name."""
        album = self._albums.of(session)
        files, names = inputs.get("files"), inputs.get("examples")
        wanted = [*(files if isinstance(files, list) else []), *(names or [])]
        for done, source in enumerate(wanted):
            self._albums.check_room(session)
            yield _note(album, doing={"stage": "adding", "done": done, "total": len(wanted)})
            name, trace = self._seen(source)
            photo = self._albums.add(session, name, trace)
            if album.detector is not None:
                photo.found = _found(album.detector, photo)
        yield _note(album)

    def _seen(self, source: object) -> tuple[str, Trace]:
        """The name of a photograph, and what the detector that ships makes of it."""
        if isinstance(source, str):
            example = self._examples.get(source)
            if example is None:
                raise FastRCNNError(text("server.no-example"))
            name, image = example.path.name, load_image(example.path)
        else:
            example = None
            # Not named "path": such values are taken out of events, since Gradio would use them.
            values = source if isinstance(source, dict) else {}
            file = {"path": values.get("uploaded"), "orig_name": values.get("name")}
            name, image = photograph(file, self._limits)
        analysis = Analysis(
            name, self._analyses.detector, example=example.name if example else None
        )
        for _ in self._analyses.analyse(analysis, image):
            pass
        assert analysis.stage is not None and analysis.stage.trace is not None
        return name, analysis.stage.trace

    def teach(self, session: str, inputs: dict) -> Iterator[dict]:
        """Teach the class ``name`` from ``boxes``: a list of corners for each photograph."""
        album = self._albums.get(inputs.get("token"))
        name, pictures = _checked(album, inputs)
        base = self._analyses.detector
        self._albums.check_teaching(session, base, len(pictures))
        model = with_new_class(base.model, name)
        yield _note(album, doing={"stage": "teaching", "done": 0, "total": 1})
        steps = []
        for step in learn_new_class(model, pictures, NEW_CLASS):
            scores = step.loss, step.object_score, step.background_score
            steps.append([step.iteration, *(round(value, 4) for value in scores)])
            if step.iteration % _STEPS_A_NOTE == 0:
                doing = {"stage": "teaching", "done": step.iteration, "total": step.iterations}
                yield _note(album, steps=steps, doing=doing)
        metadata = {
            "recipe": NEW_CLASS.model_dump(mode="json"),
            "iterations": len(steps),
            "new_class": {"name": name, "pictures": len(pictures)},
            "before": base.metadata,
        }
        album.detector = Detector(model, metadata, base.search, base.precision)
        for done, photo in enumerate(list(album.photos.values())):
            doing = {"stage": "finding", "done": done, "total": len(album.photos)}
            yield _note(album, steps=steps, doing=doing)
            photo.found = _found(album.detector, photo)
        yield _note(album, steps=steps)

    def look(self, session: str, inputs: dict) -> tuple[Analysis, Photo]:
        """Use the taught detector in Explore from now on, first for one photograph."""
        album = self._albums.get(inputs.get("token"))
        photo = album.photo(inputs.get("photo"))
        detector = _taught(album)
        self._analyses.use(session, detector)
        return Analysis(photo.name, detector), photo

    # Functions

    def photo(self, inputs: dict) -> dict:
        """A photograph of the album for the browser."""
        photo = self._albums.get(inputs.get("token")).photo(inputs.get("photo"))
        return picture(photo.trace.image)

    def remove(self, inputs: dict) -> dict:
        """Take a photograph out of the album."""
        album = self._albums.get(inputs.get("token"))
        album.photo(inputs.get("photo"))
        album.photos.pop(inputs["photo"], None)
        return _note(album)

    def takeaway(self, inputs: dict) -> dict:
        """The taught network as a checkpoint."""
        detector = _taught(self._albums.get(inputs.get("token")))
        return takeaways.checkpoint(size_of(detector.model) // 2, lambda: detector)


def _taught(album: Album) -> Detector:
    if album.detector is None:
        raise FastRCNNError(text("server.not-taught"))
    return album.detector


def _checked(album: Album, inputs: dict) -> tuple[str, list[Taught]]:
    """The name of the new class and the photographs to learn from. Raises FastRCNNError."""
    name = inputs.get("name")
    name = name.strip() if isinstance(name, str) else ""
    if not 0 < len(name) <= _LONGEST_NAME:
        raise FastRCNNError(text("server.class-name", most=_LONGEST_NAME))
    drawn = inputs.get("boxes")
    pictures = []
    for number, boxes in drawn.items() if isinstance(drawn, dict) else ():
        photo = album.photo(int(number) if str(number).isdecimal() else None)
        if not isinstance(boxes, list) or len(boxes) > _MOST_BOXES:
            raise FastRCNNError(text("server.boxes", most=_MOST_BOXES))
        if boxes:
            size = photo.trace.image.shape[:2]
            objects = torch.stack([box(corners, *size) for corners in boxes])
            pictures.append(Taught(photo.trace, objects))
    return name, pictures


def _found(detector: Detector, photo: Photo) -> Detections:
    trace = photo.trace
    return detector.trace(
        trace.image, boxes=trace.boxes.numpy(), features=(trace.features, trace.scales)
    ).detections


def _note(album: Album, doing: dict | None = None, steps: list | None = None) -> dict:
    """The album as the view shows it. steps: what was learned, None if nothing is new.

    doing: ``{"stage", "done", "total"}``.
    """
    detector = album.detector
    return {
        "token": album.token,
        "photos": [
            {
                "number": number,
                "name": photo.name,
                "found": None if photo.found is None else photo.found.to_list(),
            }
            for number, photo in album.photos.items()
        ],
        "taught": detector and detector.classes[-1],
        "doing": doing,
        "steps": steps,
    }
