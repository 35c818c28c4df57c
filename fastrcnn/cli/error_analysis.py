"""`error-analysis`: what a detector gets wrong, by kind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from fastrcnn.cli import shared
from fastrcnn.cli.evaluate import detect_or_load

if TYPE_CHECKING:
    from fastrcnn.evaluation.error_analysis import FalsePositive, Missed

_SMALL_SHARE = 0.01  # of a picture's area


def error_analysis(
    context: typer.Context,
    data: shared.Data,
    split: shared.Split = "val",
    limit: shared.Limit = None,
    skip_bad: shared.SkipBad = False,
    worst: Annotated[
        int, typer.Option(min=1, metavar="N", help="False positives to look at in each class.")
    ] = 20,
    detections: shared.Saved = None,
    cache: shared.Cache = None,
    json_file: shared.Json = None,
    score_threshold: shared.ScoreThreshold = 0.01,
    nms_threshold: shared.NmsThreshold = 0.35,
    vote_threshold: shared.VoteThreshold = 0.5,
    max_proposals: shared.MaxProposals = 2000,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> None:
    """Sort a detector's surest mistakes by kind.

    Runs a detector over annotated pictures, takes the surest false positives of each class and
    counts what they overlap: an object of their own class (localisation), of a similar class, of
    another, or none (background). Objects that selective search misses are counted too.
    """
    from fastrcnn.detector import Detector
    from fastrcnn.evaluation.error_analysis import missed_objects, worst_false_positives
    from fastrcnn.postprocess import Selection
    from fastrcnn.proposals import MODES
    from fastrcnn.proposals.cache import ProposalCache

    if detections is not None:
        shared.refuse_unused(context, "with --detections", *shared.OF_A_DETECTOR)
    shared.check_target(json_file)
    dataset = shared.open_data(data, split, limit, skip_bad)
    selection = Selection(
        max_proposals=max_proposals,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        vote_threshold=vote_threshold,
    )
    opened = partial(Detector.from_checkpoint, checkpoint, device=device)
    _, found = detect_or_load(dataset, detections, opened, selection)
    wrong = worst_false_positives(found, dataset, worst)
    proposed = ProposalCache(MODES["fast"], cache)
    boxes = (proposed.get(annotation) for annotation in shared.progress(dataset, "proposals"))
    missed = missed_objects(boxes, dataset, dataset.classes, limit=max_proposals)
    objects = sum(int((~annotation.difficult).sum()) for annotation in dataset)
    if json_file != "-":
        _print(wrong, worst, missed, objects)
    shared.write_json(
        {
            "images": len(dataset),
            "objects": objects,
            "false_positives": [
                vars(item) | {"box": [round(float(x), 2) for x in item.box]}
                for items in wrong.values()
                for item in items
            ],
            "missed": [vars(item) for item in missed],
        },
        json_file,
    )


def _print(
    wrong: dict[str, list[FalsePositive]], worst: int, missed: list[Missed], objects: int
) -> None:
    from fastrcnn.evaluation.error_analysis import KINDS

    counts = {
        name: {kind: sum(item.kind == kind for item in items) for kind in KINDS}
        for name, items in wrong.items()
    }
    print(f"The {worst} surest false positives of each class, by what they overlap:")
    print(f"{'':14}" + "".join(f"{kind:>14}" for kind in KINDS))
    total = {kind: sum(row[kind] for row in counts.values()) for kind in KINDS}
    for name, row in [*counts.items(), ("all", total)]:
        print(f"{name:14}" + "".join(f"{row[kind]:14}" for kind in KINDS))
    small = sum(item.share < _SMALL_SHARE for item in missed)
    print(
        f"Selective search misses {len(missed)} of {objects} objects; {small} of them are "
        f"smaller than {_SMALL_SHARE:.0%} of their picture."
    )
