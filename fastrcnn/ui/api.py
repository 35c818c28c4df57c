"""What programs may ask of the page: /detect, /proposals and /pool, by `gradio_client`.

The same three are the tools of the MCP server, where there is one. Gradio takes their descriptions
from the docstrings below, a line for each argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
import numpy as np

from fastrcnn.detections import picture_record
from fastrcnn.detector import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.model.roi_pool import POOLINGS
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.shared import inputs

_FOUR_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}


def build(detector: Detector, limits: Limits) -> None:
    """Add the endpoints to an open `gr.Blocks`; nothing of them is seen on the page."""

    def detect(image: dict | None, score: float, nms: float) -> tuple[dict, np.ndarray]:
        """Find the objects in a photograph, of the classes that the detector was trained on.

        Args:
            image: the photograph: JPEG, PNG, WebP, BMP, GIF or TIFF.
            score: the least probability of a detection, 0 to 1.
            nms: of two boxes of one class whose IoU is above this, 0 to 1, the better is kept.
        Returns:
            The detections, best first: label, score and box (x1, y1, x2, y2 in pixels)
            and the photograph with them drawn.
        """
        with _told():
            name, pixels = inputs.photograph(image, limits)
            trace = detector.trace(
                pixels,
                score_threshold=inputs.share(score, "score"),
                nms_threshold=inputs.share(nms, "nms"),
            )
        height, width = trace.image.shape[:2]
        record = picture_record(name, height, width, trace.detections, trace.seconds)
        return record, trace.detections.draw(trace.image)

    def proposals(image: dict | None, mode: str) -> dict:
        """Propose where in a photograph objects may be, by selective search, without a network.

        Args:
            image: the photograph: JPEG, PNG, WebP, BMP, GIF or TIFF.
            mode: how many ways of grouping are pooled: single is quickest, quality finds most.
        Returns:
            Some hundreds to thousands of boxes, best first, as x1, y1, x2, y2 in pixels.
        """
        with _told():
            name, pixels = inputs.photograph(image, limits)
            boxes = selective_search(pixels, str(mode)).boxes  # a list cannot be looked up
        height, width = pixels.shape[:2]
        return {
            "image": name,
            "width": width,
            "height": height,
            "boxes": np.round(boxes.astype(float), 2).tolist(),
        }

    def pool(image: dict | None, box: list, channel: float, form: str) -> list:
        """Show what RoI pooling makes of one box, in one channel of the network's feature map.

        Args:
            image: the photograph: JPEG, PNG, WebP, BMP, GIF or TIFF.
            box: [x1, y1, x2, y2] in pixels of the photograph.
            channel: of the map's 512, a whole number from 0 to 511.
            form: how the box is rounded: the paper's way, the walk-through's, or RoIAlign.
        Returns:
            The pooled values, 7 rows of 7.
        """
        with _told():
            _, pixels = inputs.photograph(image, limits)
            trace = detector.trace(pixels, boxes=np.zeros((0, 4), np.float32))
            corners = inputs.box(box, *trace.image.shape[:2])
            number = inputs.whole(channel, "channel", trace.features.shape[1])
            seen = detector.inspect(trace, corners, form)
        return np.round(seen.pooled[number].double().numpy(), 5).tolist()

    with gr.Row(visible=False):
        image = gr.Image(label="image", type="filepath", image_mode=None)
        score = gr.Number(0.5, label="score")
        nms = gr.Number(0.3, label="nms")
        mode = gr.Dropdown(sorted(MODES), value="fast", label="mode")
        box = gr.JSON(label="box")
        # Of any JSON Gradio says what MCP clients take for no schema at all.
        box.api_info = lambda: _FOUR_NUMBERS  # type: ignore[method-assign]
        channel = gr.Number(0, label="channel")
        form = gr.Dropdown(list(POOLINGS), value="paper", label="form")
        answer, drawn = gr.JSON(label="detections"), gr.Image(label="drawn", format="png")
        boxes, pooled = gr.JSON(label="proposals"), gr.JSON(label="pooled values")
        for function, given, answered in (
            (detect, [image, score, nms], [answer, drawn]),
            (proposals, [image, mode], boxes),
            (pool, [image, box, channel, form], pooled),
        ):
            gr.Button().click(
                function,
                given,
                answered,
                preprocess=False,
                api_name=function.__name__,
                concurrency_limit=limits.analyses,
                concurrency_id="analysis",
            )


@contextmanager
def _told() -> Iterator[None]:
    """Our errors reach the caller as they are, without a traceback."""
    try:
        yield
    except FastRCNNError as error:
        raise gr.Error(str(error), print_exception=False) from error
