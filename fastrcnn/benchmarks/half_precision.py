"""What computing in bfloat16 changes: the scores and the average precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastrcnn.data import Annotation, Dataset
from fastrcnn.data.pictures import check_size
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector, Trace
from fastrcnn.evaluation.average_precision import Evaluation, score_detections
from fastrcnn.images import load_image
from fastrcnn.model import FastRCNN
from fastrcnn.postprocess import Selection, decide

_NMS = Selection().nms_threshold


@dataclass(frozen=True)
class Rounding:
    """A detector in float32 and in bfloat16, on the same pictures and the same proposals.

    moved: (D,) for each float32 detection, how much its score differs in bfloat16. Both scores are
    probabilities of the same class for the same proposal. scores: (D,) the scores in float32.
    """

    float32: Evaluation
    bfloat16: Evaluation
    scores: np.ndarray
    moved: np.ndarray


def compare_rounding(
    model: FastRCNN,
    dataset: Dataset,
    score: float = 0.01,
    progress: Callable[[Sequence[Annotation]], Iterable[Annotation]] = iter,
) -> Rounding:
    """Run `model` over the pictures in both precisions.

    score: the least probability of a detection. progress: wraps the iteration over the
    pictures, for a progress bar. Raises ImageError and DataError as `evaluate` does.
    """
    exact, rounded = (Detector(model, precision=name) for name in ("float32", "bfloat16"))
    found: dict[str, dict[str, Detections]] = {"float32": {}, "bfloat16": {}}
    scores, moved = [], []
    for annotation in progress(dataset.annotations):
        image = load_image(annotation.path)
        check_size(annotation, *image.shape[:2])
        ours = exact.trace(image, score_threshold=score, nms_threshold=_NMS)
        theirs = rounded.trace(
            image, score_threshold=score, nms_threshold=_NMS, boxes=ours.boxes.numpy()
        )
        for name, trace in (("float32", ours), ("bfloat16", theirs)):
            found[name][annotation.image_id] = trace.detections
        before, after = _scores(ours, theirs, score)
        scores.append(before)
        moved.append(np.abs(after - before))
    return Rounding(
        **{name: score_detections(detections, dataset) for name, detections in found.items()},
        scores=np.concatenate(scores),
        moved=np.concatenate(moved),
    )


def _scores(exact: Trace, rounded: Trace, score: float) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each detection of `exact`, in `exact` and in `rounded`."""
    made = decide(exact.probabilities, exact.regressed, score, _NMS)
    place = made.proposals[made.kept], made.labels[made.kept]
    return exact.probabilities[place].numpy(), rounded.probabilities[place].numpy()
