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
    proposals: shared.ProposalCount = 2000,
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
    pictures. Recall is the share of the objects that some box overlaps by at least --iou. MABO is
    the mean over classes of the average best overlap.
    """
    from fastrcnn.evaluation.recall import RecallRow, compare_recall

    shared.check_target(json_file)
    dataset = shared.open_data(data, split, limit, skip_bad)
    searching = shared.progress_of("searching")
    rows: list[RecallRow] = []
    try:
        rows.extend(compare_recall(dataset, mode.value, proposals, iou, searching))
    except MissingPackageError as error:  # ours needs none
        shared.say(str(error))
    if json_file != "-":
        print(
            f"{len(dataset)} pictures of {dataset.name}, at most {proposals} boxes each, "
            f"recall at IoU {iou}"
        )
        print(f"{'':20}{'recall':>8}{'MABO':>8}{'boxes':>8}{'s/picture':>11}")
        for row in rows:
            print(
                f"{row.method:20}{row.recall:8.4f}{row.mean_best_overlap:8.4f}{row.boxes:8.0f}"
                f"{row.seconds_per_image:11.2f}"
            )
    shared.write_json([vars(row) for row in rows], json_file)
