"""`detect`: photographs in, their objects out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from fastrcnn.cli import shared
from fastrcnn.errors import ImageError

if TYPE_CHECKING:
    from fastrcnn.detector import Trace


def detect(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="JPEG, PNG, WebP, BMP, GIF or TIFF.")
    ],
    json_file: shared.Json = None,
    coco_file: Annotated[
        str | None,
        typer.Option(
            "--coco",
            metavar="FILE",
            help="Write the detections as COCO results JSON. image_id is the photograph's place on "
            "the command line, category_id its class's, both from 1. - as for --json.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write each photograph with its boxes drawn into this folder, as PNG.",
        ),
    ] = None,
    score_threshold: shared.ScoreThreshold = 0.5,
    nms_threshold: shared.NmsThreshold = 0.35,
    vote_threshold: shared.VoteThreshold = 0.5,
    max_proposals: shared.MaxProposals = 2000,
    proposals: shared.Proposals = None,
    retry: Annotated[
        float | None,
        typer.Option(
            parser=shared.share,
            metavar="SCORE",
            help="Where nothing reaches --score-threshold, give the best box that reaches this.",
        ),
    ] = None,
    flip: shared.Flip = False,
    pyramid: shared.Pyramid = None,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> int:
    """Find the objects in photographs.

    Prints what each object is, how sure the network is, and the box around it. A photograph that
    cannot be read is reported and the others are done; the exit code is then 1.
    """
    from fastrcnn.detections import coco_results, picture_record
    from fastrcnn.images import save_image
    from fastrcnn.pipeline import detect_each
    from fastrcnn.postprocess import Selection
    from fastrcnn.proposals.files import open_proposals
    from fastrcnn.runtime.allocator import release_memory

    quiet = shared.check_targets(json_file, coco_file)
    if save is not None:
        shared.make_folder(save)
    detector = shared.open_detector(checkpoint, device, flip, pyramid)
    records, failed = [], False
    results: list[dict] = []
    drawn: set[Path] = set()
    selection = Selection(
        max_proposals=max_proposals,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        vote_threshold=vote_threshold,
        retry=retry,
    )
    searches = None
    if proposals is not None:
        files = [Path(photo) for photo in photos]
        source = open_proposals(proposals, files)
        searches = [source.search(file) for file in files]
    detecting = detect_each(detector, photos, selection, keep=False, searches=searches)
    numbered = enumerate(shared.progress(photos, "detecting"), start=1)
    for (number, photo), finish in zip(numbered, detecting, strict=True):
        try:
            trace = finish()
        except ImageError as error:
            shared.say(f"error: {error}")
            failed = True
            continue
        height, width = trace.image.shape[:2]
        records.append(picture_record(photo, height, width, trace.detections, trace.seconds))
        results += coco_results(trace.detections, number)
        if save is not None:
            picture = trace.detections.draw(trace.image)
            save_image(_unused(save, Path(photo).stem, drawn), picture)
        if not quiet:
            tqdm.write(_describe(photo, trace))
        del trace
        release_memory()
    shared.write_json(records, json_file)
    shared.write_json(results, coco_file)
    return int(failed)


def _unused(folder: Path, stem: str, used: set[Path]) -> Path:
    """A name in `folder` for a drawn picture; two photographs may have the same name."""
    path, number = folder / f"{stem}.png", 2
    while path in used:
        path, number = folder / f"{stem}-{number}.png", number + 1
    used.add(path)
    return path


def _describe(photo: str, trace: Trace) -> str:
    seconds = sum(trace.seconds.values())
    lines = [f"{photo}: {len(trace.detections)} found in {seconds:.1f} s"]
    for found in trace.detections.to_list():
        x1, y1, x2, y2 = (round(corner) for corner in found["box"])
        lines.append(f"  {found['label']:<12} {found['score']:.3f}  {x1},{y1} to {x2},{y2}")
    return "\n".join(lines)
