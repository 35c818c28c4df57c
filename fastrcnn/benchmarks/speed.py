"""How fast each stage is beside its reference, both measured in one run, by turns.

Two timings can only be compared if they were taken on the same machine at the same time. So each
row runs ours and the reference by turns and gives the medians, their spread and the ratio.
Weights are random if only the time matters. Nothing is fetched. Both run on the same device;
selective search and the walk-through's loops over boxes are the processor's work everywhere.
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
from fastrcnn.model.fast_rcnn import MATTERS, with_image_index
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

_STEADY = 0.1  # a row is measured until its medians are known to this relative precision
_MOST_TURNS = 40
_ROIS = 2000
_PICTURE = (500, 375)  # width and height of the usual VOC photograph
_ASSET = shipped("assets") / "cow.jpg"

Work = Callable[[], object]


@dataclass(frozen=True)
class Setup:
    """How rows are measured: the least number of turns, and the device of the networks."""

    turns: int
    device: torch.device

    @property
    def detector(self) -> Detector:
        """The detector that ships with the project, on this device."""
        return _shipped(str(self.device))

    def walkthrough(self) -> walkthrough.WalkThrough:
        """The walk-through's network with random weights, on this device."""
        torch.manual_seed(0)
        return walkthrough.WalkThrough().eval().to(self.device)

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()


@dataclass(frozen=True)
class Machine:
    """Where the figures come from."""

    device: str
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


def this_machine(device: torch.device) -> Machine:
    """The machine that this runs on. device: where the networks run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return Machine(
        device=name,
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        bfloat16=has_bfloat16(device),
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


def measure(name: str, setup: Setup) -> SpeedRow:
    """The row of this name.

    There are at least as many turns of ours and the reference as `setup` says, after one that is
    not counted. They go on until both medians are steady to a tenth, for at most 40 turns. Raises
    MissingPackageError if OpenCV lacks the function that the row compares with.
    """
    return ROWS[name](name, setup)


def _in_turns(
    name: str,
    reference: str,
    ours: Work,
    theirs: Work,
    setup: Setup,
    target: float,
    floor: bool = False,
) -> SpeedRow:
    seconds: tuple[list[float], list[float]] = ([], [])
    for work in (ours, theirs):  # warms up
        work()
    setup.wait()
    while len(seconds[0]) < setup.turns or (
        len(seconds[0]) < _MOST_TURNS and not all(map(is_steady, seconds))
    ):
        for work, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            work()
            setup.wait()
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
def _shipped(device: str) -> Detector:
    return Detector.from_checkpoint(device=device)


def random_rois(width: int, height: int, count: int = _ROIS) -> Tensor:
    """(R, 5) of all sizes, in an input of `width` x `height` pixels."""
    random = np.random.default_rng(0)
    sides = np.array([width, height])
    low = random.uniform(0, 0.8, (count, 2)) * sides
    high = low + random.uniform(0.05, 1, (count, 2)) * (sides - low)
    return torch.from_numpy(np.hstack([np.zeros((count, 1)), low, high]).astype(np.float32))


# The rows


def _proposals(name: str, setup: Setup) -> SpeedRow:
    image = photograph()
    return _in_turns(
        name,
        "OpenCV switchToSelectiveSearchFast",
        lambda: selective_search(image, "fast"),
        lambda: opencv_selective_search(image),
        setup,
        target=5,
    )


@torch.no_grad()
def _roi_pooling(name: str, setup: Setup) -> SpeedRow:
    maps = torch.rand(1, 512, 37, 50, device=setup.device)
    rois = random_rois(800, 600).to(setup.device)
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
        setup,
        target=20,
    )


@torch.no_grad()
def _fc_head(name: str, setup: Setup) -> SpeedRow:
    detector, image = setup.detector, photograph()
    model, trace = detector.model, detector.trace(image)
    features = trace.features.to(setup.device)
    rois = (trace.boxes * torch.tensor([*trace.scale, *trace.scale])).to(setup.device)
    pooled = model.roi_pool(features, with_image_index([rois], features))
    rounds = is_bfloat16(detector.precision, setup.device)
    first = pooled.bfloat16() if rounds else pooled  # as pooled from a rounded map
    whole = Head(512, 7, 4096, 4096, 21).eval().to(setup.device)

    def scores(pooled: Tensor) -> Tensor:
        fc6 = model.head.fc6_channels_last(pooled.shape[1], pooled.dtype)
        return torch.cat([model.head(part, fc6)[0] for part in pooled.split(128)])

    def ours() -> None:
        with autocast(detector.precision, setup.device):
            objects = scores(first).softmax(dim=1)[:, 1:]
        if rounds:  # the exact second look
            scores(pooled[objects.amax(dim=1) >= MATTERS])

    return _in_turns(name, "4096 wide, float32", ours, lambda: whole(pooled), setup, target=20)


def _whole_way(name: str, setup: Setup, square: int | None = None, target: float = 4) -> SpeedRow:
    detector = setup.detector
    if square is not None:
        config = detector.model.config.but(resize=Resize(square=square), pooling="walkthrough")
        model = FastRCNN(config)
        model.load_state_dict(detector.model.state_dict())
        detector = Detector(model.to(setup.device))
    network, image = setup.walkthrough(), photograph()
    return _in_turns(
        name,
        "the walk-through's way",
        lambda: detector.trace(image),
        lambda: walkthrough.detect(network, image),
        setup,
        target,
    )


@torch.no_grad()
def _against_torchvision(name: str, setup: Setup) -> SpeedRow:
    detector, image = setup.detector, photograph()
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval().to(setup.device)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).float().to(setup.device) / 255
    return _in_turns(
        name,
        "torchvision fasterrcnn_resnet50_fpn",
        lambda: detector.trace(image),
        lambda: network([pixels]),
        setup,
        target=4.5,
    )


def _second_box(name: str, setup: Setup) -> SpeedRow:
    detector, image = setup.detector, photograph()
    trace = detector.trace(image)
    box = torch.tensor([50.0, 60.0, 300.0, 320.0])
    return _in_turns(
        name,
        "a fresh analysis",
        lambda: detector.inspect(trace, box),
        lambda: detector.trace(image),
        setup,
        target=10,
    )


def _training(name: str, setup: Setup) -> SpeedRow:
    with tempfile.TemporaryDirectory(prefix="fastrcnn-bench-") as folder:
        dataset = open_dataset(write_shapes(Path(folder) / "set", train=16), "train")
        steps = max(setup.turns, _MOST_TURNS) + 1
        recipe = with_settings(WALKTHROUGH, [f"iterations={steps}", "validation_fraction=0"])
        trainer, batch = _training_parts(recipe, dataset, Path(folder), setup.device)
        network = setup.walkthrough().train()
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
            setup,
            target=3,
        )
        trainer.close()
        network.eval()
    return row


def _training_parts(
    recipe: Recipe, dataset: Dataset, folder: Path, device: torch.device
) -> tuple[Trainer, tuple[Tensor, ...]]:
    """Our trainer, and the first mini-batch in the walk-through's form."""
    model = build_model(recipe, dataset.classes).to(device)
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
    return trainer, tuple(part.to(device) for part in (images, rois, batch.labels, batch.deltas))


@torch.no_grad()
def _convolutions(name: str, setup: Setup) -> SpeedRow:
    """Ours against large matrix products with as many multiplications in the same precision."""
    backbone = build_backbone("vgg16").eval().to(setup.device)
    pixels = torch.rand(1, 3, 600, 800, device=setup.device) * 255
    dtype = torch.bfloat16 if has_bfloat16(setup.device) else torch.float32
    side = 2048
    one = torch.rand(side, side, dtype=dtype, device=setup.device)
    products = _multiplications(backbone, pixels) / side**3

    def ours() -> None:
        with autocast("auto", setup.device):
            backbone(pixels)

    def ceiling() -> None:
        for _ in range(round(products)):
            one @ one

    return _in_turns(
        name, f"{str(dtype).split('.')[-1]} matrix products", ours, ceiling, setup, 1.35, floor=True
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


ROWS: dict[str, Callable[[str, Setup], SpeedRow]] = {
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
