"""`compress`: a smaller and faster detector by truncated SVD."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastrcnn.cli import shared

_KEPT = "Singular values kept of {}. Without it the layer stays as it is."


def compress(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new checkpoint.")],
    fc6_rank: Annotated[
        int | None, typer.Option(min=1, metavar="K", help=_KEPT.format("fc6"))
    ] = None,
    fc7_rank: Annotated[
        int | None, typer.Option(min=1, metavar="K", help=_KEPT.format("fc7"))
    ] = None,
    shorter: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="The shorter side that pictures get from now on, the longer at most 5/3 of it. "
            "Without it they get the size of the training.",
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store 16-bit numbers: half the size.")
    ] = False,
    checkpoint: shared.Checkpoint = None,
) -> None:
    """Make a detector smaller and faster by truncated SVD.

    Replaces each of the two large fully connected layers by two smaller ones, its truncated SVD
    (section 3.1 of the paper, which uses ranks 1024 and 256 for layers 4096 wide).
    """
    from fastrcnn.model import Resize, load_checkpoint, save_checkpoint
    from fastrcnn.model import compress as truncate

    model, metadata = load_checkpoint(checkpoint)
    smaller = truncate(model, fc6_rank, fc7_rank)
    if shorter is not None:
        # In proportion, as the paper's 600 and 1000 are.
        resize = Resize(shorter=shorter, longer=round(shorter * 5 / 3))
        smaller.config = smaller.config.but(resize=resize)
    # The scores belong to the old file: they were measured before the compression.
    metadata["before_compression"] = {"metrics": metadata.pop("metrics", None)}
    save_checkpoint(out, smaller, metadata, half=half)
    before, after = (sum(p.numel() for p in m.head.parameters()) for m in (model, smaller))
    print(f"{out}: the head's {before:,} numbers became {after:,}")
