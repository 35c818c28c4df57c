"""What several commands share: options, data sets, progress, and answers written to files."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from tqdm import tqdm

from fastrcnn.errors import FastRCNNError, RecipeError, reason
from fastrcnn.runtime.atomic_write import atomic_write

if TYPE_CHECKING:
    import torch

    from fastrcnn.data import Dataset
    from fastrcnn.detector import Detector

T = TypeVar("T")

_REASONS = 3  # how many reasons are shown for left-out pictures

# Values


def share(value: str | float) -> float:
    """A number from 0 to 1."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise typer.BadParameter(f"{value} is not a number from 0 to 1.")
    return number


def share_or_none(value: str | float | None) -> float | None:
    """A number from 0 to 1, or the word none."""
    return None if value is None or str(value).lower() == "none" else share(value)


class SearchMode(str, Enum):
    """The modes of selective search, as in `fastrcnn.proposals.MODES`."""

    single = "single"
    fast = "fast"
    quality = "quality"


# Options

Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the answer as JSON; - is standard output, which then gets nothing else.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The trained detector; the one that comes with the project by default.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where the network computes: cpu, cuda, cuda:1 or mps; auto takes a GPU where there "
        "is one.",
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Look at the mirror image of each picture too, and take the mean of both answers.",
    ),
]
Pyramid = Annotated[
    str | None,
    typer.Option(
        metavar="SIDES",
        help="Look at each picture at several scales, by its shorter side in pixels, such as "
        "480,576,688,864,1200: each box is classified at the scale that suits its size. By default "
        "the detector's own.",
    ),
]
BackboneWeights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights to start from, a safetensors file: Caffe's tensors for VGG16, CaffeNet "
        "and VGG_CNN_M_1024, torchvision's for a ResNet. torchvision downloads torchvision's, "
        "random takes none. By default VGG16's convolutions that come with the project.",
    ),
]
Data = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="A Pascal VOC folder (JPEGImages, Annotations, ImageSets/Main), or a COCO JSON file "
        "or a folder of them. Given several times, their pictures are taken together.",
    ),
]
Split = Annotated[str, typer.Option(metavar="NAME", help="The split whose pictures are used.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Use the first N pictures only.")
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out pictures that cannot be used, and say how many and why. Each is read once "
        "more for that. Without it the first one ends the command.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where proposals and frozen layers' features are kept; $FASTRCNN_CACHE or "
        "~/.cache/fastrcnn by default.",
    ),
]
Saved = Annotated[
    Path | None,
    typer.Option(
        "--detections",
        metavar="FILE",
        help="Take these detections, written by detect --json, and run no detector.",
    ),
]
ScoreThreshold = Annotated[
    float,
    typer.Option(
        parser=share, metavar="SCORE", help="Leave out detections that score less, 0 to 1."
    ),
]
NmsThreshold = Annotated[
    float,
    typer.Option(
        parser=share,
        metavar="IOU",
        help="Of two boxes of one class that overlap more than this, keep the better.",
    ),
]
VoteThreshold = Annotated[
    float | None,
    typer.Option(
        parser=share_or_none,
        metavar="IOU",
        help="Move what was kept to the mean of the boxes of its class that overlap it by this "
        "much. none leaves it in its place, as the paper does.",
    ),
]
MaxProposals = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="How many of a picture's proposals are used, the best ones.",
    ),
]
Proposals = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Take the proposals from this file, or from a folder with a file for each picture: "
        ".mat of selective search, .npz, .npy, .json or .pkl. The word dense takes 45 thousand "
        "boxes of all places, sizes and shapes. Without it selective search proposes.",
    ),
]
Mode = Annotated[
    SearchMode,
    typer.Option(
        help="How many ways of grouping are pooled: single is quickest, quality finds most."
    ),
]

# What --detections makes needless, and in evaluate max_proposals too.
OF_A_DETECTOR = (
    *("score_threshold", "nms_threshold", "vote_threshold"),
    *("proposals", "flip", "pyramid", "checkpoint"),
)


def refuse_unused(context: typer.Context, why: str, *names: str) -> None:
    """Refuse any of these options that was given, since it changes nothing. why: with what."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise FastRCNNError(f"{option.opts[0]} changes nothing {why}; leave it out.")


# Detectors


def open_detector(
    checkpoint: Path | None, device: str, flip: bool, pyramid: str | None
) -> Detector:
    """The detector of the options of these names."""
    from fastrcnn.detector import Detector
    from fastrcnn.model import Resize

    detector = Detector.from_checkpoint(checkpoint, device=device, flip=flip)
    if pyramid is not None:
        try:
            sides = tuple(int(side) for side in pyramid.split(","))
        except ValueError as error:
            raise RecipeError(
                f"{pyramid!r} is not a pyramid; write shorter sides in pixels, such as 480,576,688."
            ) from error
        # The limit of the longer side, as in the paper: 1,000 for 600, and 2,000 for 1,200.
        resize = Resize(shorter=min(sides), longer=round(max(sides) * 5 / 3), pyramid=sides)
        detector.model.config = detector.model.config.but(resize=resize)
    return detector


# Data sets


def open_data(paths: Sequence[Path], split: str, limit: int | None, skip_bad: bool) -> Dataset:
    """The first pictures of a split. With `skip_bad`, bad ones are left out and reported."""
    from fastrcnn.data import open_datasets, without_bad_pictures

    if not skip_bad:
        return open_datasets(paths, split)[:limit]
    bad: list[FastRCNNError] = []
    try:
        dataset = open_datasets(paths, split, bad.append)[:limit]
        return without_bad_pictures(dataset, bad.append, progress_of("checking"))
    finally:
        if bad and is_first_process():
            say(f"Left out {len(bad)} bad entries of the split {split!r}; the first reasons:")
            for error in bad[:_REASONS]:
                say(f"  {error}")


# Progress


def is_first_process() -> bool:
    """Whether this process is the one that prints, of those that `torchrun` started."""
    # torch knows it too, but takes seconds to import.
    return os.environ.get("RANK", "0") == "0"


def progress(items: Iterable[T], label: str, total: int | None = None) -> tqdm:
    """A progress bar with the time left. Only the first process shows it, on a terminal."""
    hidden = None if is_first_process() else True
    return tqdm(items, desc=label, total=total, unit=" pictures", disable=hidden, file=sys.stderr)


def progress_of(label: str) -> Callable[[Iterable[T]], Iterable[T]]:
    """A function that wraps pictures in a progress bar with this label."""
    return lambda items: progress(items, label)


def say(line: str) -> None:
    """Print a line on standard error without breaking a progress bar."""
    tqdm.write(line, file=sys.stderr)


@contextmanager
def process_group(device: str = "cpu") -> Iterator[torch.device]:
    """Work together with the other processes that `torchrun` started, if there are any.

    Gives the device of this process. If there are several GPUs, each process has its own.
    """
    from fastrcnn.runtime import distributed
    from fastrcnn.runtime.device import choose

    own = distributed.init(choose(device))
    try:
        yield own
    finally:
        distributed.shutdown()


# Answers


def check_target(target: str | None) -> None:
    """Before the work, refuse a file that could not be written after it."""
    if target in (None, "-"):
        return
    path = Path(target)
    if not path.parent.is_dir():
        raise FastRCNNError(f"{target} cannot be written: its folder does not exist.")
    if path.is_dir():
        raise FastRCNNError(f"{target} cannot be written: it is a folder.")
    if not os.access(path if _is_device(path) else path.parent, os.W_OK):
        raise FastRCNNError(f"{target} cannot be written: permission denied.")


def check_targets(json_file: str | None, coco_file: str | None) -> bool:
    """Check both. Returns whether one is standard output, where nothing else is then printed."""
    for target in (json_file, coco_file):
        check_target(target)
    if json_file == coco_file == "-":
        raise FastRCNNError("--json and --coco cannot both be -; name a file for one of them.")
    return "-" in (json_file, coco_file)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents if they do not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FastRCNNError(f"The folder {folder} cannot be made: {reason(error)}.") from error


def write_json(value: object, target: str | None) -> None:
    """Write plain values as a line of JSON. target: a file, - for standard output, or None."""
    if target is None:
        return
    text = json.dumps(value, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(target)
    try:
        if _is_device(path):
            path.write_text(text, encoding="utf-8")
            return
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FastRCNNError(f"{target} cannot be written: {reason(error)}.") from error


def _is_device(path: Path) -> bool:
    """Whether it is a device or a pipe, which is written to and cannot be replaced."""
    return path.exists() and not path.is_file()
