"""`recall`: how many objects the proposals reach."""

from __future__ import annotations

from typing import Annotated

import typer

from fastrcnn.cli import shared
from fastrcnn.errors import MissingPackageError


def recall(
    data: shared.Data,
    split: shared.Split = "val",
    limit: shared.Limit = 200,
    skip_bad: shared.SkipBad = False,
    mode: shared.Mode = shared.SearchMode.fast,
    max_proposals: shared.MaxProposals = 2000,
    proposals: shared.Proposals = None,
    iou: Annotated[
        float,
        typer.Option(
            parser=shared.share, metavar="IOU", help="The overlap that counts as reached."
        ),
    ] = 0.5,
    json_file: shared.Json = None,
) -> None:
    """Measure how many objects the proposals reach.

    Runs our selective search and OpenCV's own (switchToSelectiveSearchFast) on the same annotated
    pictures. With --proposals their row comes first. Recall is the share of the objects that some
    box overlaps by at least --iou. MABO is the mean over classes of the average best overlap. AR
    is the mean of the recalls at the IoUs from 0.5 to 1.
    """
    from fastrcnn.evaluation.recall import RecallRow, compare_recall
    from fastrcnn.proposals.files import open_proposals

    shared.check_target(json_file)
    dataset = shared.open_data(data, split, limit, skip_bad)
    others = {}
    if proposals is not None:
        files = [annotation.path for annotation in dataset]
        others[str(proposals)] = open_proposals(proposals, files)
    searching = shared.progress_of("searching")
    rows: list[RecallRow] = []
    try:
        rows.extend(compare_recall(dataset, mode.value, max_proposals, iou, searching, others))
    except MissingPackageError as error:  # ours needs none
        shared.say(str(error))
    if json_file != "-":
        print(
            f"{len(dataset)} pictures of {dataset.name}, at most {max_proposals} boxes each, "
            f"recall at IoU {iou}"
        )
        print(f"{'':20}{'recall':>8}{'MABO':>8}{'AR':>8}{'boxes':>8}{'s/picture':>11}")
        for row in rows:
            print(
                f"{row.method:20}{row.recall:8.4f}{row.mean_best_overlap:8.4f}"
                f"{row.average_recall:8.4f}{row.boxes:8.0f}{row.seconds_per_image:11.2f}"
            )
    shared.write_json([vars(row) for row in rows], json_file)
