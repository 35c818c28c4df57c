"""`proposals`: selective search alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fastrcnn.cli import shared

_DRAWN = 100


def proposals(
    photo: Annotated[str, typer.Argument(help="JPEG, PNG, WebP, BMP, GIF or TIFF.")],
    mode: shared.Mode = shared.SearchMode.fast,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Of the random numbers in the ranking. The same seed, the same order.",
        ),
    ] = 0,
    json_file: shared.Json = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Write the photograph with the best {_DRAWN} boxes drawn."
        ),
    ] = None,
) -> None:
    """Show where selective search would look.

    Prints how many boxes the detector would look at for objects, and writes them, best first. No
    network is involved.
    """
    from fastrcnn.draw import draw_boxes
    from fastrcnn.images import load_image, save_image
    from fastrcnn.proposals import selective_search

    shared.check_target(json_file)
    image = load_image(photo)
    start = time.perf_counter()
    boxes = selective_search(image, mode.value, seed=seed).boxes
    seconds = time.perf_counter() - start
    height, width = image.shape[:2]
    if json_file != "-":
        print(f"{photo}: {len(boxes)} proposals in {seconds:.1f} s")
    if save is not None:
        save_image(save, draw_boxes(image, boxes[:_DRAWN]))
    shared.write_json(
        {
            "image": photo,
            "width": width,
            "height": height,
            "boxes": [[round(float(x), 2) for x in box] for box in boxes],
        },
        json_file,
    )
