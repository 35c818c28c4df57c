"""The Explore tab: every step of the detector on one photograph, linked to one chosen box.

An upload or an example starts an analysis. Its stages reach the browser as small notes, the value
of the view: which picture (a token), which stage, what it is called. The view then asks the
functions of `_Server` for what it shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from fastrcnn.detections import picture_record
from fastrcnn.detector import PROPOSALS, VOTE_THRESHOLD, Detector, Trace
from fastrcnn.errors import FastRCNNError
from fastrcnn.images import load_image
from fastrcnn.postprocess import decide, select
from fastrcnn.ui.explore import payloads
from fastrcnn.ui.explore.examples import Example, first_of, thumbnail
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.sessions import Analyses, Analysis
from fastrcnn.ui.shared import inputs
from fastrcnn.ui.shared.replies import answering, apology, apology_in_browser
from fastrcnn.ui.shared.view import build_view
from fastrcnn.ui.texts import said, shown, text

_SCRIPTS = (
    *("base", "stage", "photo", "grouping", "proposals"),
    *("pooling", "head", "result", "life", "lessons", "main"),
)
# Runs in the browser before the upload is sent on, so that the view can say what is going on.
_TELL_OF_UPLOAD = "(p) => { if (p) window.dispatchEvent(new Event('explore-upload')); return [p]; }"


class Explore(NamedTuple):
    """The tab that was built: its view, and what opens a picture in it.

    open: an analysis not yet begun, its picture and the visitor's session -> notes for the view.
    """

    view: gr.HTML
    open: Callable[[Analysis, Path | np.ndarray, str], Iterator[dict]]


def build_explore(analyses: Analyses, examples: dict[str, Example], limits: Limits) -> Explore:
    """Build the tab inside an open `gr.Blocks`; `analyses` keeps the visitors' pictures."""
    server = _Server(analyses)

    def upload(file: dict | None, request: gr.Request) -> Iterator[dict]:
        if file is None:
            return
        try:
            name, image = inputs.photograph(file, limits)
        except FastRCNNError as error:
            yield apology(said(error))
            return
        session = inputs.session(request)
        yield from analyse(Analysis(name, analyses.detector_of(session)), image, session)

    def choose(event: gr.EventData, request: gr.Request) -> Iterator[dict]:
        example = examples.get(str(event._data.get("name")))
        if example is None:
            yield apology(text("server.no-example"))
            return
        session = inputs.session(request)
        analysis = Analysis(
            example.path.name,
            analyses.detector_of(session),
            example=example,
            objects=example.objects,
        )
        yield from analyse(analysis, example.path, session)

    def untrain(request: gr.Request) -> Iterator[dict]:
        session = inputs.session(request)
        analyses.use(session, None)
        name = first_of(examples)
        if name is None:
            yield apology(text("server.no-examples"))
            return
        first = examples[name]
        analysis = Analysis(
            first.path.name, analyses.detector, example=first, objects=first.objects
        )
        yield from analyse(analysis, first.path, session)

    def analyse(analysis: Analysis, picture: Path | np.ndarray, session: str) -> Iterator[dict]:
        try:
            # Read before the picture that is open now is given up.
            image = load_image(picture)
        except FastRCNNError as error:
            yield apology(said(error))
            return
        token = analyses.open(session, analysis)
        note = {
            "token": token,
            "name": analysis.name,
            "example": analysis.example and analysis.example.name,
            "model": payloads.model(analysis.detector)
            | {"ships": analysis.detector is analyses.detector},
        }
        yield note | {"stage": "read"}
        try:
            for stage in analyses.analyse(analysis, image):
                yield note | {"stage": stage.name}
        except FastRCNNError as error:
            yield apology(str(error))

    with gr.Row(equal_height=True):
        with gr.Column():
            gr.Markdown(shown("page.introduction"))
        with gr.Column():
            photo = gr.Image(
                label=shown("page.photo"),
                type="filepath",
                image_mode=None,
                sources=["upload", "webcam", "clipboard"],
                buttons=[],
                height=130,
                # Gradio says this one in no other language.
                alt_text=text("page.photo.alt"),
                elem_id="photo",
            )
    view = build_view(
        Path(__file__).parent,
        _SCRIPTS,
        server.functions(),
        model=payloads.model(analyses.detector) | {"ships": True},
        first=first_of(examples),
        at_once=limits.analyses,
        examples=[
            {"name": name, "src": payloads.data_url(thumbnail(example), "JPEG", quality=80)}
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
    # Gradio would open the file itself and fail in its own words; ours is one clear sentence.
    uploaded = photo.change(upload, photo, view, preprocess=False, js=_TELL_OF_UPLOAD, **options)
    chosen = view.example(choose, None, view, **options)
    untrained = view.untrain(untrain, None, view, **options)
    for event in (uploaded, chosen, untrained):
        event.failure(
            None,
            None,
            view,
            js=apology_in_browser(text("server.analysis-failed", count=limits.queue)),
            show_progress="hidden",
            api_visibility="private",
        )
    return Explore(view, analyse)


class _Server:
    """What the browser may ask about its picture; each question names it by its token."""

    def __init__(self, analyses: Analyses) -> None:
        self._analyses = analyses

    def functions(self) -> list[Callable]:
        questions = (
            *(self.picture, self.segments, self.proposals, self.activity, self.box),
            *(self.mosaic, self.decisions, self.truth, self.takeaway),
        )
        return [answering(question) for question in questions]

    def picture(self, asked: dict) -> dict:
        """The photograph, and the objects known to be on it."""
        analysis = self._analyses.get(asked.get("token"))
        if analysis.stage is None:
            raise FastRCNNError(text("server.reading"))
        return payloads.picture(analysis.stage.image) | {"objects": list(analysis.objects)}

    def segments(self, asked: dict) -> dict:
        """One run of the grouping: its starting segments and, once there are any, its merges."""
        stage = self._analyses.get(asked.get("token")).stage
        if stage is None:
            raise FastRCNNError(text("server.no-regions"))
        found = stage.proposals
        runs = payloads.runs(stage.segmentations, found)
        index = inputs.whole(asked.get("run", 0), "run", len(runs))
        if found is not None and found.hierarchies:
            shown = payloads.hierarchy(found.hierarchies[index])
        else:
            shown = payloads.segments(stage.segmentations[index].segments.labels)
        return shown | {"runs": runs, "run": index}

    def proposals(self, asked: dict) -> dict:
        stage = self._analyses.get(asked.get("token")).stage
        if stage is None or stage.proposals is None:
            raise FastRCNNError(text("server.no-proposals"))
        return payloads.proposals(stage.proposals, PROPOSALS) | {
            "runs": payloads.runs(stage.segmentations, stage.proposals)
        }

    def activity(self, asked: dict) -> dict:
        """How strongly the last convolution answers in each cell, all channels together."""
        analysis = self._analyses.get(asked.get("token"))
        stage = analysis.stage
        if stage is None or stage.features is None:
            raise FastRCNNError(text("server.no-features"))
        height, width = stage.image.shape[:2]
        return payloads.activity(stage.features, height, width, analysis.detector.model)

    def box(self, asked: dict) -> dict:
        """A proposal (its index) or a box of one's own (four numbers), looked at closely."""
        detector, trace = self._traced(asked)
        channel = asked.get("channel")
        if channel is not None:
            channel = inputs.whole(channel, "channel", trace.features.shape[1])
        index, box = _chosen(asked, trace)
        seen = detector.inspect(trace, box, asked.get("form"))
        pool = detector.model.roi_pool
        shown = payloads.inspection(seen, trace, pool.stride, channel) | {"index": index}
        if index is not None and seen.pooling == pool.pooling:
            shown |= payloads.scores(
                trace.probabilities[index], trace.deltas[index], trace.regressed[index]
            )
        return shown

    def mosaic(self, asked: dict) -> dict:
        detector, trace = self._traced(asked)
        _, box = _chosen(asked, trace)
        return payloads.mosaic(detector.inspect(trace, box, asked.get("form")))

    def decisions(self, asked: dict) -> dict:
        _, trace = self._traced(asked)
        made = decide(trace.probabilities, trace.regressed, *_selection(asked))
        best, label = trace.probabilities[:, 1:].max(dim=1)
        return payloads.decisions(made) | {
            "best_scores": payloads.numbers(best, 5),
            "best_labels": (label + 1).tolist(),
            "background": payloads.numbers(trace.probabilities[:, 0], 5),
            "seconds": {name: round(value, 4) for name, value in trace.seconds.items()},
        }

    def truth(self, asked: dict) -> dict:
        _, trace = self._traced(asked)
        boxes = asked.get("boxes")
        if not isinstance(boxes, list) or len(boxes) > 100:
            raise FastRCNNError(text("server.truths"))
        size = trace.image.shape[:2]
        truths = [inputs.box(box, *size) for box in boxes]
        return {
            "objects": payloads.truth(
                trace.boxes, torch.stack(truths) if truths else torch.zeros(0, 4)
            )
        }

    def takeaway(self, asked: dict) -> dict:
        """The drawn picture as PNG and the detections as the command line writes them."""
        name = self._analyses.get(asked.get("token")).name
        detector, trace = self._traced(asked)
        found = select(trace.probabilities, trace.regressed, detector.classes, *_selection(asked))
        height, width = trace.image.shape[:2]
        record = picture_record(name, height, width, found, trace.seconds)
        if asked.get("kind") == "json":
            return {"name": f"{Path(name).stem}.json", "text": json.dumps([record]) + "\n"}
        drawn = found.draw(trace.image)
        return {"name": f"{Path(name).stem}.png", "src": payloads.data_url(drawn, "PNG")}

    def _traced(self, asked: dict) -> tuple[Detector, Trace]:
        analysis = self._analyses.get(asked.get("token"))
        if analysis.stage is None or analysis.stage.trace is None:
            raise FastRCNNError(text("server.analysing"))
        return analysis.detector, analysis.stage.trace


def _selection(asked: dict) -> tuple[float, float, float | None]:
    """Lowest score, most overlap, and the IoU from which on boxes vote, None where they do not."""
    score, nms = (inputs.share(asked.get(name), name) for name in ("score", "nms"))
    return score, nms, VOTE_THRESHOLD if inputs.truth(asked.get("vote", True), "vote") else None


def _chosen(asked: dict, trace: Trace) -> tuple[int | None, Tensor]:
    box = asked.get("box")
    if isinstance(box, list):
        return None, inputs.box(box, *trace.image.shape[:2])
    index = inputs.whole(box, "box", len(trace.boxes))
    return index, trace.boxes[index]
