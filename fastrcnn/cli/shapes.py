"""`shapes`: the built-in training set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shapes(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The set's folder, made where there is none.")
    ],
    train: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures to learn from.")] = 400,
    val: Annotated[
        int, typer.Option(min=1, metavar="N", help="Pictures to watch the training with.")
    ] = 50,
    test: Annotated[
        int, typer.Option(min=1, metavar="N", help="Pictures to measure the result with.")
    ] = 200,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Another seed draws other pictures.")
    ] = 0,
) -> None:
    """Draw the built-in training set.

    Draws pictures of textured, overlapping shapes on cluttered backgrounds, with their boxes, for
    a first training: the recipe shapes learns them in two minutes of processor time. The folder is
    what the other commands take as --data.
    """
    from fastrcnn.data import write_shapes

    write_shapes(out, seed, train=train, val=val, test=test)
    print(f"{out}: pictures of shapes, {train} for train, {val} for val, {test} for test")
