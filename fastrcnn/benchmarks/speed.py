"""How fast each stage is beside its reference, both measured in one run, by turns.

Two timings can only be compared if they were taken on the same machine at the same time. So each
row runs ours and the reference by turns and gives the medians, their spread and the ratio.
Weights are random if only the time matters. Nothing is fetched.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from fastrcnn.benchmarks import walkthrough
from fastrcnn.data import Dataset, open_dataset, write_shapes
from fastrcnn.detector import Detector
from fastrcnn.evaluation.recall import opencv_selective_search
from fastrcnn.images import load_image
from fastrcnn.model import (
    FastRCNN,
    Head,
    Resize,
    RoIPool,
    build_backbone,
    walkthrough_roi_pool_reference,
)
from fastrcnn.model.fast_rcnn import MATTERS
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.runtime.precision import autocast, has_bfloat16, is_bfloat16
from fastrcnn.runtime.shipped import shipped
from fastrcnn.training.batches import MiniBatches
from fastrcnn.training.caches import feature_cache, fill_caches
from fastrcnn.training.recipe import Recipe, with_settings
from fastrcnn.training.recipes import WALKTHROUGH
from fastrcnn.training.records import Step
from fastrcnn.training.trainer import Trainer, build_model

_CPU = torch.device("cpu")
_STEADY = 0.1  # a row is measured until its medians are known to this relative precision
_MOST_TURNS = 40
_ROIS = 2000
_PICTURE = (500, 375)  # width and height of the usual VOC photograph
_ASSET = shipped("assets") / "cow.jpg"

Work = Callable[[], object]


@dataclass(frozen=True)
class Machine:
    """Where the figures come from."""

    processor: str
    cores: int
    threads: int
    bfloat16: bool
    torch: str
    opencv: str


@dataclass(frozen=True)
class SpeedRow:
    """One comparison. seconds, reference_seconds: of each turn. target: the ratio to reach.

    The ratio says how many times faster ours is. If `floor` is set, it says how many times slower
    ours is than the best this machine could do, and it must stay at or below the target.
    """

    name: str
    reference: str
    seconds: tuple[float, ...]
    reference_seconds: tuple[float, ...]
    target: float
    floor: bool = False

    @property
    def ratio(self) -> float:
        """The ratio of the medians."""
        ours, theirs = map(statistics.median, (self.seconds, self.reference_seconds))
        return ours / theirs if self.floor else theirs / ours

    @property
    def reached(self) -> bool:
        """Whether the ratio reaches the target."""
        return self.ratio <= self.target if self.floor else self.ratio >= self.target


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        bfloat16=has_bfloat16(_CPU),
        torch=torch.__version__,
        opencv=cv2.__version__,
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def measure(name: str, turns: int = 5) -> SpeedRow:
    """The row of this name.

    turns: the least number of turns of ours and the reference, after one that is not counted.
    They go on until both medians are steady to a tenth, for at most 40 turns. Raises
    MissingPackageError if OpenCV lacks the function that the row compares with.
    """
    return ROWS[name](name, turns)


def _in_turns(
    name: str,
    reference: str,
    ours: Work,
    theirs: Work,
    turns: int,
    target: float,
    floor: bool = False,
) -> SpeedRow:
    seconds: tuple[list[float], list[float]] = ([], [])
    for work in (ours, theirs):  # warms up
        work()
    while len(seconds[0]) < turns or (
        len(seconds[0]) < _MOST_TURNS and not all(map(is_steady, seconds))
    ):
        for work, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return SpeedRow(name, reference, tuple(seconds[0]), tuple(seconds[1]), target, floor)


def is_steady(seconds: list[float]) -> bool:
    """Whether McGill et al.'s interval (1978) shows that the median is known to a tenth."""
    if len(seconds) < 2:
        return False
    low, median, high = statistics.quantiles(seconds, method="inclusive")
    return 1.57 * (high - low) / len(seconds) ** 0.5 <= _STEADY * median


# What the rows share


@cache
def photograph() -> np.ndarray:
    return cv2.resize(load_image(_ASSET), _PICTURE, interpolation=cv2.INTER_AREA)


@cache
def shipped_detector() -> Detector:
    return Detector.from_checkpoint()


@cache
def _walkthrough() -> walkthrough.WalkThrough:
    torch.manual_seed(0)
    return walkthrough.WalkThrough().eval()


def random_rois(width: int, height: int, count: int = _ROIS) -> Tensor:
    """(R, 5) of all sizes, in an input of `width` x `height` pixels."""
    random = np.random.default_rng(0)
    sides = np.array([width, height])
    low = random.uniform(0, 0.8, (count, 2)) * sides
    high = low + random.uniform(0.05, 1, (count, 2)) * (sides - low)
    return torch.from_numpy(np.hstack([np.zeros((count, 1)), low, high]).astype(np.float32))


# The rows


def _proposals(name: str, turns: int) -> SpeedRow:
    image = photograph()
    return _in_turns(
        name,
        "OpenCV switchToSelectiveSearchFast",
        lambda: selective_search(image, "fast"),
        lambda: opencv_selective_search(image),
        turns,
        target=5,
    )


@torch.no_grad()
def _roi_pooling(name: str, turns: int) -> SpeedRow:
    maps, rois = torch.rand(1, 512, 37, 50), random_rois(800, 600)
    pool = RoIPool("walkthrough")

    def ours() -> None:
        # In parts, as the head takes them. All at once are 200 MB, and on some systems the slow
        # allocation of memory would be measured instead.
        for _ in pool.parts(maps, rois, 128):
            pass

    return _in_turns(
        name,
        "the walk-through's loop",
        ours,
        lambda: walkthrough_roi_pool_reference(maps, rois),
        turns,
        target=20,
    )


@torch.no_grad()
def _fc_head(name: str, turns: int) -> SpeedRow:
    detector, image = shipped_detector(), photograph()
    model, features = detector.model, detector.trace(image).features
    height, width = features.shape[2:]
    rois = random_rois(model.backbone.stride * width, model.backbone.stride * height)
    pooled = model.roi_pool(features, rois)
    whole = Head(512, 7, 4096, 4096, 21).eval()

    def ours() -> None:
        with autocast(detector.precision, _CPU):
            scores = torch.cat([model.head(part)[0] for part in pooled.split(128)])
            again = scores.softmax(dim=1)[:, 1:].amax(dim=1) >= MATTERS
        if is_bfloat16(detector.precision, _CPU):  # the exact second look
            model.head(pooled[again])

    return _in_turns(name, "4096 wide, float32", ours, lambda: whole(pooled), turns, target=20)


def _whole_way(name: str, turns: int, square: int | None = None, target: float = 4) -> SpeedRow:
    detector = shipped_detector()
    if square is not None:
        config = detector.model.config.but(resize=Resize(square=square), pooling="walkthrough")
        model = FastRCNN(config)
        model.load_state_dict(detector.model.state_dict())
        detector = Detector(model)
    network, image = _walkthrough(), photograph()
    return _in_turns(
        name,
        "the walk-through's way",
        lambda: detector.trace(image),
        lambda: walkthrough.detect(network, image),
        turns,
        target,
    )


@torch.no_grad()
def _against_torchvision(name: str, turns: int) -> SpeedRow:
    detector, image = shipped_detector(), photograph()
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
    return _in_turns(
        name,
        "torchvision fasterrcnn_resnet50_fpn",
        lambda: detector.trace(image),
        lambda: network([pixels]),
        turns,
        target=4.5,
    )


def _second_box(name: str, turns: int) -> SpeedRow:
    detector, image = shipped_detector(), photograph()
    trace = detector.trace(image)
    box = torch.tensor([50.0, 60.0, 300.0, 320.0])
    return _in_turns(
        name,
        "a fresh analysis",
        lambda: detector.inspect(trace, box),
        lambda: detector.trace(image),
        turns,
        target=10,
    )


def _training(name: str, turns: int) -> SpeedRow:
    with tempfile.TemporaryDirectory(prefix="fastrcnn-bench-") as folder:
        dataset = open_dataset(write_shapes(Path(folder) / "set", train=16), "train")
        recipe = with_settings(WALKTHROUGH, [f"iterations={turns + 1}", "validation_fraction=0"])
        trainer, batch = _training_parts(recipe, dataset, Path(folder))
        network = _walkthrough().train()
        optimizer = torch.optim.Adam(
            [p for p in network.parameters() if p.requires_grad], lr=recipe.lr
        )

        def ours() -> None:
            while not isinstance(next(trainer), Step):
                pass

        row = _in_turns(
            name,
            "the walk-through's step",
            ours,
            lambda: walkthrough.training_step(network, optimizer, *batch),
            turns,
            target=3,
        )
        trainer.close()
        network.eval()
    return row


def _training_parts(
    recipe: Recipe, dataset: Dataset, folder: Path
) -> tuple[Trainer, tuple[Tensor, ...]]:
    """Our trainer, and the first mini-batch in the walk-through's form."""
    model = build_model(recipe, dataset.classes)
    features = feature_cache(recipe, model, folder / "cache")
    proposals = ProposalCache(MODES[recipe.proposals_mode], folder / "cache")
    trainer = Trainer(
        recipe, model, dataset, out=folder / "run", proposals=proposals, features=features
    )
    for _ in fill_caches(trainer, features, proposals):
        pass
    batch = MiniBatches(recipe, dataset, features, proposals).batch(0)
    images = torch.cat([walkthrough.preprocess(load_image(s.path)) for s in batch.samples])
    numbers = torch.arange(len(batch.counts)).repeat_interleave(torch.tensor(batch.counts))
    rois = torch.cat([numbers[:, None], batch.rois], dim=1)
    return trainer, (images, rois, batch.labels, batch.deltas)


@torch.no_grad()
def _convolutions(name: str, turns: int) -> SpeedRow:
    """Ours against large matrix products with as many multiplications in the same precision."""
    backbone = build_backbone("vgg16").eval()
    pixels = torch.rand(1, 3, 600, 800) * 255
    dtype = torch.bfloat16 if has_bfloat16(_CPU) else torch.float32
    side = 2048
    one = torch.rand(side, side, dtype=dtype)
    products = _multiplications(backbone, pixels) / side**3

    def ours() -> None:
        with autocast("auto", _CPU):
            backbone(pixels)

    def ceiling() -> None:
        for _ in range(round(products)):
            one @ one

    return _in_turns(
        name, f"{str(dtype).split('.')[-1]} matrix products", ours, ceiling, turns, 1.35, floor=True
    )


def _multiplications(backbone: nn.Module, pixels: Tensor) -> float:
    height, width = pixels.shape[2:]
    total = 0.0
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            total += module.weight.numel() * height * width
        elif isinstance(module, nn.MaxPool2d):
            height, width = height // 2, width // 2
    return total


ROWS: dict[str, Callable[[str, int], SpeedRow]] = {
    "proposals": _proposals,
    "roi-pooling": _roi_pooling,
    "fc-head": _fc_head,
    "whole-way": _whole_way,
    "whole-way-224": partial(_whole_way, square=walkthrough.SIDE, target=6),
    "against-torchvision": _against_torchvision,
    "second-box": _second_box,
    "training": _training,
    "convolutions": _convolutions,
}
