"""`ablate`: what each part of a detector is worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from fastrcnn.cli import shared
from fastrcnn.errors import RecipeError

if TYPE_CHECKING:
    from fastrcnn.data import Dataset
    from fastrcnn.evaluation.ablations import AblationRow


def ablate(
    data: shared.Data,
    split: shared.Split = "val",
    limit: shared.Limit = None,
    skip_bad: shared.SkipBad = False,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--other",
            metavar="NAME=FILE",
            help="Another detector to compare with. May be given several times.",
        ),
    ] = None,
    only_others: Annotated[
        bool,
        typer.Option("--only-others", help="Compare with the others alone, and change nothing."),
    ] = False,
    cache: shared.Cache = None,
    json_file: shared.Json = None,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> None:
    """Measure what each part of a detector is worth.

    Runs a detector over annotated pictures as it is and changed in one thing at a time: without
    box regression, without the vote, with fewer proposals, other RoI pooling, other score
    thresholds, smaller heads. Prints mAP, the difference and its standard error (bootstrap over
    the pictures). Under torchrun the pictures are shared out.
    """
    from fastrcnn.detector import Detector
    from fastrcnn.evaluation import ablations
    from fastrcnn.proposals import MODES
    from fastrcnn.proposals.cache import ProposalCache

    shared.check_target(json_file)
    with shared.process_group():
        dataset = shared.open_data(data, split, limit, skip_bad)
        rows = ablations.ablate(
            Detector.from_checkpoint(checkpoint, device=device),
            dataset,
            ProposalCache(MODES["fast"], cache),
            {
                name: Detector.from_checkpoint(path, device=device)
                for name, path in map(_named_file, others or ())
            },
            shared.progress_of("ablating"),
            only_others,
        )
        if shared.is_first_process():
            if json_file != "-":
                _print(dataset, rows)
            shared.write_json([vars(row) for row in rows], json_file)


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise RecipeError(f"{text!r} is not NAME=FILE, such as frozen=runs/a/model.safetensors.")
    return name, path


def _print(dataset: Dataset, rows: Iterable[AblationRow]) -> None:
    print(f"{len(dataset)} pictures of {dataset.name}, mAP (area) at IoU 0.5")
    print(f"{'':46}{'mAP':>8}{'difference':>12}{'+-':>8}{'boxes':>8}")
    for row in rows:
        name = f"{row.table}: {row.variant}" if row.table else row.variant
        print(f"{name:46}{row.mean_ap:8.4f}{row.difference:+12.4f}{row.error:8.4f}{row.boxes:8.1f}")
