"""The page's endpoints for programs: /detect, /proposals and /pool, by `gradio_client`.

The same three are the tools of the MCP server, where there is one. Gradio takes their descriptions
from the docstrings below, one line for each argument.
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
from fastrcnn.postprocess import Selection
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.ui.hosting import compile_ahead
from fastrcnn.ui.hosting.gradio_private import input_of_schema
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.shared import inputs

_FOUR_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}


def build(detector: Detector, limits: Limits) -> None:
    """Add the endpoints to an open `gr.Blocks`; the page shows nothing of them."""

    def detect(
        image: dict | None, score_threshold: float, nms_threshold: float
    ) -> tuple[dict, np.ndarray]:
        """Find the objects in a photograph, of the classes that the detector was trained on.

        Args:
            image: the photograph: JPEG, PNG, WebP, BMP, GIF or TIFF.
            score_threshold: the least probability of a detection, 0 to 1.
            nms_threshold: of two boxes of one class with a larger IoU the better stays, 0 to 1.
        Returns:
            The detections, best first: label, score and box (x1, y1, x2, y2 in pixels)
            and the photograph with them drawn.
        """
        with _errors_in_a_sentence():
            name, pixels = inputs.photograph(image, limits)
            score = inputs.share(score_threshold, "score_threshold")
            nms = inputs.share(nms_threshold, "nms_threshold")
            compile_ahead.wait()
            trace = detector.trace(pixels, score_threshold=score, nms_threshold=nms)
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
        with _errors_in_a_sentence():
            name, pixels = inputs.photograph(image, limits)
            compile_ahead.wait()
            boxes = selective_search(pixels, str(mode)).boxes  # a list cannot be looked up
        height, width = pixels.shape[:2]
        return {
            "image": name,
            "width": width,
            "height": height,
            "boxes": np.round(boxes.astype(float), 2).tolist(),
        }

    def pool(image: dict | None, box: list, channel: float, pooling: str) -> list:
        """Show what RoI pooling makes of one box, in one channel of the network's feature map.

        Args:
            image: the photograph: JPEG, PNG, WebP, BMP, GIF or TIFF.
            box: [x1, y1, x2, y2] in pixels of the photograph.
            channel: of the map's 512, a whole number from 0 to 511.
            pooling: how the box is rounded: the paper's way, the walk-through's, or RoIAlign.
        Returns:
            The pooled values, 7 rows of 7.
        """
        with _errors_in_a_sentence():
            _, pixels = inputs.photograph(image, limits)
            trace = detector.trace(pixels, boxes=np.zeros((0, 4), np.float32))
            corners = inputs.box(box, *trace.image.shape[:2])
            number = inputs.whole(channel, "channel", trace.features.shape[1])
            seen = detector.inspect(trace, corners, pooling)
        return np.round(seen.pooled[number].double().numpy(), 5).tolist()

    with gr.Row(visible=False):
        image = gr.Image(label="image", type="filepath", image_mode=None)
        score_threshold = gr.Number(Selection().score_threshold, label="score_threshold")
        nms_threshold = gr.Number(Selection().nms_threshold, label="nms_threshold")
        mode = gr.Dropdown(sorted(MODES), value="fast", label="mode")
        # Not gr.JSON: its schema is empty, and MCP clients refuse an empty schema.
        box = input_of_schema(_FOUR_NUMBERS, "box")
        channel = gr.Number(0, label="channel")
        pooling = gr.Dropdown(list(POOLINGS), value="paper", label="pooling")
        record, drawn = gr.JSON(label="detections"), gr.Image(label="drawn", format="png")
        boxes, pooled = gr.JSON(label="proposals"), gr.JSON(label="pooled values")
        for function, given, returned in (
            (detect, [image, score_threshold, nms_threshold], [record, drawn]),
            (proposals, [image, mode], boxes),
            (pool, [image, box, channel, pooling], pooled),
        ):
            gr.Button().click(
                function,
                given,
                returned,
                preprocess=False,
                api_name=function.__name__,
                concurrency_limit=limits.analyses,
                concurrency_id="analysis",
            )


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    """Send the project's own errors to the caller, without a traceback on the server."""
    try:
        yield
    except FastRCNNError as error:
        raise gr.Error(str(error), print_exception=False) from error
