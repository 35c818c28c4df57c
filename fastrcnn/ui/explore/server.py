"""The Explore tab: every step of the detector on one photograph, linked to one chosen box.

An upload or an example starts an analysis. For each stage the browser gets a small note as the
view's value: the picture's token, the stage, and the picture's name. The view then requests what it
shows from the functions of `_Server` and `Explanations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch

from fastrcnn.detections import picture_record
from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.postprocess import Selection, decide, select
from fastrcnn.ui.explore import payloads
from fastrcnn.ui.explore.examples import Example, first_of
from fastrcnn.ui.explore.explanations import Explanations
from fastrcnn.ui.explore.requested import chosen_box, selection, traced
from fastrcnn.ui.hosting.gradio_private import event_values
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.sessions import Analyses, Analysis
from fastrcnn.ui.shared.inputs import box, photograph, session_of, whole
from fastrcnn.ui.shared.replies import error_note, error_note_in_browser, replying
from fastrcnn.ui.shared.view import build_view
from fastrcnn.ui.texts import gradio_text, text, text_of

# Runs in the browser before the upload is analysed, so that the view can show what happens.
_USUAL = Selection()
_NOTE_UPLOAD = "(p) => { if (p) window.dispatchEvent(new Event('explore-upload')); return [p]; }"


class Explore(NamedTuple):
    """The tab: its view, and the function that opens a picture in it.

    open: a new analysis, its picture and the visitor's session -> notes for the view.
    """

    view: gr.HTML
    open: Callable[[Analysis, Path | np.ndarray, str], Iterator[dict]]


def build_explore(analyses: Analyses, examples: dict[str, Example], limits: Limits) -> Explore:
    """Build the tab inside an open `gr.Blocks`. `analyses` keeps the visitors' pictures."""

    def upload(file: dict | None, request: gr.Request) -> Iterator[dict]:
        if file is None:
            return
        try:
            name, image = photograph(file, limits)
        except FastRCNNError as error:
            yield error_note(text_of(error))
            return
        session = session_of(request)
        yield from analyse(Analysis(name, analyses.detector_of(session)), image, session)

    def choose(event: gr.EventData, request: gr.Request) -> Iterator[dict]:
        example = examples.get(str(event_values(event).get("name")))
        if example is None:
            yield error_note(text("server.no-example"))
            return
        session = session_of(request)
        analysis = Analysis(
            example.path.name,
            analyses.detector_of(session),
            example=example.name,
            objects=example.objects,
        )
        yield from analyse(analysis, example.path, session)

    def untrain(request: gr.Request) -> Iterator[dict]:
        session = session_of(request)
        analyses.use(session, None)
        name = first_of(examples)
        if name is None:
            yield error_note(text("server.no-examples"))
            return
        first = examples[name]
        analysis = Analysis(
            first.path.name, analyses.detector, example=first.name, objects=first.objects
        )
        yield from analyse(analysis, first.path, session)

    def analyse(analysis: Analysis, picture: Path | np.ndarray, session: str) -> Iterator[dict]:
        try:
            # Read it first: if it cannot be read, the open picture stays.
            image = load_image(picture)
        except FastRCNNError as error:
            yield error_note(text_of(error))
            return
        token = analyses.open(session, analysis)
        note = {
            "token": token,
            "name": analysis.name,
            "example": analysis.example,
            "model": payloads.model(analysis.detector)
            | {"ships": analysis.detector is analyses.detector},
        }
        yield note | {"stage": "read"}
        try:
            for stage in analyses.analyse(analysis, image):
                yield note | {"stage": stage.name}
        except FastRCNNError as error:
            yield error_note(text_of(error))

    photo = gr.Image(
        label=gradio_text("page.photo"),
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        buttons=[],
        height=220,
        # Gradio shows this text in English only.
        alt_text=text("page.photo.alt"),
        elem_id="photo",
    )
    view = build_view(
        Path(__file__).parent,
        ("example", "untrain"),
        server_functions(analyses, limits),
        model=payloads.model(analyses.detector) | {"ships": True},
        first=first_of(examples),
        usual=_USUAL.model_dump(include={"score_threshold", "nms_threshold"}),
        at_once=limits.analyses,
        examples=[
            {"name": name, "src": payloads.data_url(example.thumbnail, "JPEG", quality=80)}
            for name, example in examples.items()
        ],
    )
    options: dict[str, Any] = {
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        "concurrency_limit": limits.analyses,
        "concurrency_id": "analysis",
        "api_visibility": "private",
    }
    # Not preprocessed: Gradio would open the file itself and fail with its own message.
    uploaded = photo.change(upload, photo, view, preprocess=False, js=_NOTE_UPLOAD, **options)
    chosen = view.example(choose, None, view, **options)
    untrained = view.untrain(untrain, None, view, **options)
    for event in (uploaded, chosen, untrained):
        event.failure(
            None,
            None,
            view,
            js=error_note_in_browser(text("server.analysis-failed", count=limits.queue)),
            show_progress="hidden",
            api_visibility="private",
        )
    return Explore(view, analyse)


def server_functions(analyses: Analyses, limits: Limits) -> list[Callable]:
    """All functions that the browser may call, by their names."""
    functions = _Server(analyses).functions() + Explanations(analyses, limits).functions()
    return [replying(function) for function in functions]


class _Server:
    """What the browser may request of its picture. The inputs name the picture by its token."""

    def __init__(self, analyses: Analyses) -> None:
        self._analyses = analyses

    def functions(self) -> list[Callable]:
        return [
            *(self.picture, self.segments, self.proposals, self.activity, self.box),
            *(self.mosaic, self.decisions, self.truth, self.takeaway),
        ]

    def picture(self, inputs: dict) -> dict:
        """The photograph, the objects known to be on it, and the size of the network's input."""
        analysis = self._analyses.get(inputs.get("token"))
        if analysis.stage is None:
            raise FastRCNNError(text("server.reading"))
        image = analysis.stage.image
        height, width = analysis.detector.model.config.resize.size(*image.shape[:2])
        return payloads.picture(image) | {
            "objects": list(analysis.objects),
            "input": [width, height],
        }

    def segments(self, inputs: dict) -> dict:
        """One run of the grouping: its starting segments and, once there are any, its merges."""
        stage = self._analyses.get(inputs.get("token")).stage
        if stage is None:
            raise FastRCNNError(text("server.no-regions"))
        found = stage.proposals
        runs = payloads.runs(stage.segmentations, found)
        index = whole(inputs.get("run", 0), "run", len(runs))
        if found is not None and found.hierarchies:
            payload = payloads.hierarchy(found.hierarchies[index])
        else:
            payload = payloads.segments(stage.segmentations[index].segments.labels)
        return payload | {"runs": runs, "run": index}

    def proposals(self, inputs: dict) -> dict:
        stage = self._analyses.get(inputs.get("token")).stage
        if stage is None or stage.proposals is None:
            raise FastRCNNError(text("server.no-proposals"))
        return payloads.proposals(stage.proposals, _USUAL.max_proposals) | {
            "runs": payloads.runs(stage.segmentations, stage.proposals)
        }

    def activity(self, inputs: dict) -> dict:
        """The mean of the last convolution's channels in each cell."""
        analysis = self._analyses.get(inputs.get("token"))
        stage = analysis.stage
        if stage is None or stage.features is None:
            raise FastRCNNError(text("server.no-features"))
        height, width = stage.image.shape[:2]
        return payloads.activity(stage.features, height, width, analysis.detector.model)

    def box(self, inputs: dict) -> dict:
        """A close look at a proposal (its index) or at the visitor's own box (four numbers)."""
        detector, trace = traced(self._analyses, inputs)
        channel = inputs.get("channel")
        if channel is not None:
            channel = whole(channel, "channel", trace.features.shape[1])
        index, chosen = chosen_box(inputs, trace)
        inspection = detector.inspect(trace, chosen, inputs.get("pooling"))
        pool = detector.model.roi_pool
        payload = payloads.inspection(inspection, trace, pool.stride, channel) | {"index": index}
        if index is not None and inspection.pooling == pool.pooling:
            payload |= payloads.scores(
                trace.probabilities[index], trace.deltas[index], trace.regressed[index]
            )
        return payload

    def mosaic(self, inputs: dict) -> dict:
        detector, trace = traced(self._analyses, inputs)
        _, chosen = chosen_box(inputs, trace)
        return payloads.mosaic(detector.inspect(trace, chosen, inputs.get("pooling")))

    def decisions(self, inputs: dict) -> dict:
        _, trace = traced(self._analyses, inputs)
        made = decide(trace.probabilities, trace.regressed, *selection(inputs))
        best, label = trace.probabilities[:, 1:].max(dim=1)
        return payloads.decisions(made) | {
            "best_scores": payloads.numbers(best, 5),
            "best_labels": (label + 1).tolist(),
            "background": payloads.numbers(trace.probabilities[:, 0], 5),
            "seconds": {name: round(value, 4) for name, value in trace.seconds.items()},
        }

    def truth(self, inputs: dict) -> dict:
        _, trace = traced(self._analyses, inputs)
        boxes = inputs.get("boxes")
        if not isinstance(boxes, list) or len(boxes) > 100:
            raise FastRCNNError(text("server.truths"))
        size = trace.image.shape[:2]
        truths = [box(corners, *size) for corners in boxes]
        return {
            "objects": payloads.truth(
                trace.boxes, torch.stack(truths) if truths else torch.zeros(0, 4)
            )
        }

    def takeaway(self, inputs: dict) -> dict:
        """The drawn picture as PNG and the detections as the command line writes them."""
        name = self._analyses.get(inputs.get("token")).name
        detector, trace = traced(self._analyses, inputs)
        found = select(trace.probabilities, trace.regressed, detector.classes, *selection(inputs))
        height, width = trace.image.shape[:2]
        record = picture_record(name, height, width, found, trace.seconds)
        if inputs.get("kind") == "json":
            return {"name": f"{Path(name).stem}.json", "text": json.dumps([record]) + "\n"}
        drawn = found.draw(trace.image)
        return {"name": f"{Path(name).stem}.png", "src": payloads.data_url(drawn, "PNG")}
