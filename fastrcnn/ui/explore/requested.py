"""What the browser names in its requests: a picture, a box, and how detections are selected."""

from __future__ import annotations

from torch import Tensor

from fastrcnn.detector import Detector, Trace
from fastrcnn.errors import FastRCNNError
from fastrcnn.postprocess import Selection
from fastrcnn.ui.sessions import Analyses
from fastrcnn.ui.shared.inputs import boolean, box, share, whole
from fastrcnn.ui.texts import text


def traced(analyses: Analyses, inputs: dict) -> tuple[Detector, Trace]:
    """The detector and the trace of the picture with the token in `inputs`.

    Raises FastRCNNError while the picture is being analysed, and Gone for an unknown token.
    """
    analysis = analyses.get(inputs.get("token"))
    if analysis.stage is None or analysis.stage.trace is None:
        raise FastRCNNError(text("server.analysing"))
    return analysis.detector, analysis.stage.trace


def chosen_box(inputs: dict, trace: Trace) -> tuple[int | None, Tensor]:
    """The chosen proposal's index and box (4,), or None and the visitor's own box."""
    chosen = inputs.get("box")
    if isinstance(chosen, list):
        return None, box(chosen, *trace.image.shape[:2])
    index = whole(chosen, "box", len(trace.boxes))
    return index, trace.boxes[index]


def selection(inputs: dict) -> tuple[float, float, float | None]:
    """Score threshold, NMS threshold, and the IoU from which boxes vote (None: no vote)."""
    score, nms = (share(inputs.get(name), name) for name in ("score_threshold", "nms_threshold"))
    vote = Selection().vote_threshold if boolean(inputs.get("vote", True), "vote") else None
    return score, nms, vote
