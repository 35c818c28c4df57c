"""One page: a photograph in, its detections drawn, listed, and as JSON."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
from torch import Tensor

from fastrcnn.detect import Detector, select
from fastrcnn.draw import draw_detections
from fastrcnn.errors import FastRCNNError
from fastrcnn.report import picture_record

ASSETS = Path(__file__).parents[2] / "assets"
LONGEST_SHOWN = 1200  # pixels; a larger picture is shown shrunk, its boxes stay in its own pixels
_WELCOME = "Choose a photograph, or click one of the examples."
_INTRODUCTION = """
# Fast R-CNN

Finds {count} kinds of things in a photograph. Selective search proposes about 2,000 boxes, the
network looks at the picture once and scores every box, and of boxes that overlap only the best
is kept.
"""
_CLASSES = "It knows: {classes}."
# Gradio's footer links to its own site; the page needs no other host.
_CSS = """
footer { display: none !important; }
#table table { width: 100%; border: 0; border-collapse: collapse; }
#table caption { text-align: left; padding-bottom: 0.5em; }
#table th, #table td { text-align: left; padding: 0.3em 1em 0.3em 0; border: 0; }
#table tr { border: 0; border-bottom: 1px solid var(--border-color-primary); }
"""


@dataclass(frozen=True)
class _Analysis:
    """What the sliders need of an analysed picture: R proposals, K classes with background at 0.

    shown: the picture at display size. probabilities: (R, K). regressed: (R, K, 4).
    """

    name: str
    height: int
    width: int
    shown: np.ndarray
    probabilities: Tensor
    regressed: Tensor
    seconds: dict[str, float]


def build(detector: Detector, examples: Path = ASSETS) -> gr.Blocks:
    """The page for a detector; `examples` is a folder of JPEG photographs."""

    def analyse(upload: dict | None) -> tuple[_Analysis | None, None, str]:
        if upload is None:
            return None, None, _WELCOME
        path = Path(upload["path"])
        try:
            # Bytes, so that an error does not name the server's own folders.
            trace = detector.trace(path.read_bytes())
        except FastRCNNError as error:
            gr.Warning(str(error))
            return None, None, str(error)
        height, width = trace.image.shape[:2]
        analysis = _Analysis(
            name=upload.get("orig_name") or path.name,
            height=height,
            width=width,
            shown=_shrink(trace.image),
            probabilities=trace.probabilities,
            regressed=trace.regressed,
            seconds=trace.seconds,
        )
        return analysis, None, ""

    def show(
        analysis: _Analysis | None, score: float, nms: float
    ) -> tuple[np.ndarray | None, str, list[dict] | None, str]:
        if analysis is None:
            return None, "", None, gr.skip()
        detections = select(
            analysis.probabilities, analysis.regressed, detector.classes, score, nms
        )
        shrunk = analysis.shown.shape[1] / analysis.width
        drawn = draw_detections(
            analysis.shown, replace(detections, boxes=detections.boxes * np.float32(shrunk))
        )
        record = picture_record(
            analysis.name, analysis.height, analysis.width, detections, analysis.seconds
        )
        message = _summary(len(detections), score, analysis.seconds)
        return drawn, _table(record["detections"]), [record], message

    with gr.Blocks(title="Fast R-CNN", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        analysis = gr.State(time_to_live=3600)
        gr.Markdown(_INTRODUCTION.format(count=len(detector.classes)))
        with gr.Row():
            with gr.Column():
                photo = gr.Image(
                    label="Photograph",
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "webcam", "clipboard"],
                    buttons=[],
                    height=420,
                    alt_text="The photograph to look at",
                    elem_id="photo",
                )
                gr.Examples(
                    [[str(path)] for path in sorted(examples.glob("*.jpg"))],
                    photo,
                    label="Examples",
                    examples_per_page=20,
                )
            with gr.Column():
                drawn = gr.Image(
                    label="Detections",
                    interactive=False,
                    format="png",
                    buttons=["download", "fullscreen"],
                    height=420,
                    alt_text="The photograph with the detected objects drawn on it",
                    elem_id="drawn",
                )
                message = gr.Markdown(_WELCOME, elem_id="message")
                score = gr.Slider(
                    0.05,
                    0.95,
                    0.5,
                    step=0.05,
                    label="Lowest score",
                    info="Objects that the network is less sure of are left out.",
                    elem_id="score",
                )
                nms = gr.Slider(
                    0.05,
                    0.95,
                    0.3,
                    step=0.05,
                    label="Most overlap (NMS)",
                    info="Of two boxes of one class that overlap more, only the better is kept.",
                    elem_id="nms",
                )
        table = gr.HTML(max_height=420, elem_id="table")
        with gr.Accordion("JSON, as the command line writes it", open=False):
            record = gr.JSON(show_label=False, elem_id="record")
        gr.Markdown(_CLASSES.format(classes=", ".join(detector.classes)))

        # Gradio would open the file itself and fail in its own words; ours is one clear sentence.
        photo.change(
            analyse,
            photo,
            [analysis, drawn, message],
            preprocess=False,
            show_progress_on=drawn,
            trigger_mode="always_last",
            concurrency_limit=1,
            api_visibility="private",
        ).success(
            show,
            [analysis, score, nms],
            [drawn, table, record, message],
            show_progress="hidden",
            concurrency_limit=4,
            api_visibility="private",
        )
        gr.on(
            [score.change, nms.change],
            show,
            [analysis, score, nms],
            [drawn, table, record, message],
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_limit=4,
            api_visibility="private",
        )
    return page.queue(max_size=20)


def launch(page: gr.Blocks, **options) -> tuple:
    """Serve the page; `options` are those of Gradio's own `launch`."""
    return page.launch(
        theme=gr.themes.Default(),
        css=_CSS,
        max_file_size="64mb",
        ssr_mode=False,
        footer_links=[],
        **options,
    )


def _shrink(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = LONGEST_SHOWN / max(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _table(found: list[dict]) -> str:
    """The detections as an HTML table; a checkpoint's class names may be anything, so escaped."""
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(item['label'])}</td><td>{item['score']:.3f}</td>"
        f"<td>{', '.join(f'{corner:.0f}' for corner in item['box'])}</td></tr>"
        for item in found
    )
    return (
        "<table><caption>Best first, corners in pixels of the photograph</caption><thead><tr>"
        "<th scope='col'>object</th><th scope='col'>score</th>"
        f"<th scope='col'>x1, y1, x2, y2</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _summary(count: int, score: float, seconds: dict[str, float]) -> str:
    stages = ", ".join(f"{stage} {1000 * value:.0f} ms" for stage, value in seconds.items())
    took = f"Took {sum(seconds.values()):.1f} s ({stages})."
    if not count:
        return f"No object scored at least {score:.2f}; a lower score may show some. {took}"
    return f"{count} {'object' if count == 1 else 'objects'}. {took}"
