"""`evaluate`: average precision on annotated pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastrcnn.cli import shared

if TYPE_CHECKING:
    import numpy as np

    from fastrcnn.data import Dataset
    from fastrcnn.detections import Detections
    from fastrcnn.detector import Detector, Search
    from fastrcnn.evaluation.average_precision import Evaluation
    from fastrcnn.postprocess import Selection


def evaluate(
    context: typer.Context,
    data: shared.Data,
    split: shared.Split = "val",
    limit: shared.Limit = None,
    skip_bad: shared.SkipBad = False,
    detections: shared.Saved = None,
    json_file: shared.Json = None,
    coco_file: Annotated[
        str | None,
        typer.Option(
            "--coco",
            metavar="FILE",
            help="Write the detections as COCO results JSON. The ids are those of the COCO JSON; "
            "of a VOC folder, the picture's name as a number and the class's place from 1. - as "
            "for --json.",
        ),
    ] = None,
    score_threshold: shared.ScoreThreshold = 0.01,
    nms_threshold: shared.NmsThreshold = 0.35,
    vote_threshold: shared.VoteThreshold = 0.5,
    max_proposals: shared.MaxProposals = 2000,
    proposals: shared.Proposals = None,
    flip: shared.Flip = False,
    pyramid: shared.Pyramid = None,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> None:
    """Measure a detector's average precision.

    Runs a detector over annotated pictures and prints its average precision per class and their
    mean, as the Pascal VOC challenges define it. Under torchrun the pictures are shared out among
    its processes.
    """
    from fastrcnn.data.coco import coco_image_ids
    from fastrcnn.detections import coco_results
    from fastrcnn.postprocess import Selection

    if detections is not None:
        unused = (*shared.OF_A_DETECTOR, "max_proposals")
        shared.refuse_unused(context, "with --detections", *unused)
    quiet = shared.check_targets(json_file, coco_file)
    selection = Selection(
        max_proposals=max_proposals,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        vote_threshold=vote_threshold,
    )
    with shared.process_group(device) as own:
        dataset = shared.open_data(data, split, limit, skip_bad)
        opened = partial(shared.open_detector, checkpoint, str(own), flip, pyramid)
        evaluation, found = detect_or_load(dataset, detections, opened, selection, proposals)
        if not shared.is_first_process():
            return
        if not quiet:
            _print(evaluation)
        shared.write_json(evaluation.to_json_dict(), json_file)
        if coco_file is not None:
            results = (
                coco_results(found[image_id], number, dataset.category_ids)
                for image_id, number in coco_image_ids(dataset).items()
            )
            shared.write_json([*chain.from_iterable(results)], coco_file)


def detect_or_load(
    dataset: Dataset,
    saved: Path | None,
    open_detector: Callable[[], Detector],
    selection: Selection,
    proposals: Path | None = None,
) -> tuple[Evaluation, Mapping[str, Detections]]:
    """The scores of saved detections, or of a detector that is run now, and the detections.

    proposals: where they come from, as the option says.
    """
    from fastrcnn.evaluation import average_precision as ap
    from fastrcnn.pipeline import detect_each
    from fastrcnn.proposals.files import open_proposals
    from fastrcnn.runtime import distributed

    if saved is not None:
        found = ap.load_detections(saved, dataset)
        return ap.score_detections(found, dataset), found
    detector = open_detector()
    searches: Iterable[Search] | None = None
    if proposals is not None:
        source = open_proposals(proposals, [annotation.path for annotation in dataset])
        mine = dataset.annotations[distributed.rank() :: distributed.world_size()]
        searches = (source.search(annotation.path) for annotation in mine)

    def detect(images: Iterable[np.ndarray]) -> Iterator[Detections]:
        for finish in detect_each(detector, images, selection, keep=False, searches=searches):
            yield finish().detections

    return ap.evaluate(detect, dataset, shared.progress_of("evaluating"))


def _print(evaluation: Evaluation) -> None:
    for name, value in sorted(evaluation.ap.items()):
        print(f"{name:<14} {'-' if math.isnan(value) else f'{value:.3f}'}")
    print(
        f"mAP over {evaluation.images} pictures: {evaluation.map_area:.3f} (area under the curve), "
        f"{evaluation.map_11point:.3f} (11-point), {evaluation.map_coco:.3f} (IoU 0.5 to 0.95)"
    )
