"""The rows of each table: how its detector is trained, how it detects, what the paper has.

The published numbers are mAP on VOC2007 test in percent, with 11 points (Girshick, ICCV 2015). They
are given for the paper's networks S, M and L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fastrcnn.evaluation.variants import Variant
from fastrcnn.model.backbone import layer_names
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.recipes import FIVE_SCALES

Network = Literal["S", "M", "L"]

# The networks besides the unchanged one, for `Variant.network`.
SVD, SVM = "svd", "svm"


@dataclass(frozen=True)
class Training:
    """How a detector is trained: the recipe at hand with these changes.

    start: the training whose result it starts from. joined: on all data sets, not on the first one
    alone. dense: with dense boxes as proposals.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: Training | None = None
    joined: bool = False
    dense: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table. published: the paper's mAP. note: what else the paper says about it.

    training: None for a row that only the paper has.
    """

    name: str
    published: float | None
    training: Training | None
    variant: Variant = field(default_factory=Variant)
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table. Differences are from its first row of ours. finding: what the paper concludes."""

    title: str
    finding: str
    rows: tuple[Row, ...]


BASE = Training("recipe")
CLASSES = Training("classification only", {"bbox_reg": False})
EASY = Training("07 without difficult", {"use_difficult": False})
STAGE_WISE = Training("stage-wise", {"first_trainable": "bbox_pred"}, start=CLASSES)
# Section 5.5 uses selective search's quality mode, which gives up to 10,000 boxes.
QUALITY = Training("quality proposals", {"proposals_mode": "quality"})
DENSE = Training("dense boxes", {"max_proposals": 45_000}, dense=True)

_ALL_DENSE = 45_000  # boxes a picture
_COUNTS = (30, 100, 300, 1000, 2000, 4000, 10_000)
_DENSE_ADDED = (2000, 8000, 32_000)


def _by_network(network: Network, s: float, m: float, large: float) -> float:
    return {"S": s, "M": m, "L": large}[network]


def table_1(network: Network, recipe: Recipe) -> Table:
    """mAP beside R-CNN and SPPnet, without difficult objects, with more data (VGG16)."""
    more = Training("07+12", joined=True)
    return Table(
        "Table 1: mAP of VGG16 beside other methods",
        "Fast R-CNN is better than R-CNN and SPPnet; leaving out difficult objects in training "
        "helps, and more data helps.",
        (
            Row("R-CNN", 66.0, None),
            Row("SPPnet", 63.1, None),
            Row("Fast R-CNN, 07", 66.9, BASE),
            Row("Fast R-CNN, 07 without difficult", 68.1, EASY),
            Row("Fast R-CNN, 07+12", 70.0, more),
        ),
    )


def table_4(network: Network, recipe: Recipe) -> Table:
    """Training and test time, and mAP with truncated SVD."""
    hours, test, with_svd = {
        "S": ("1.2", "0.10", "0.06"),
        "M": ("2.0", "0.15", "0.08"),
        "L": ("9.5", "0.32", "0.22"),
    }[network]
    rows = (
        Row(
            "Fast R-CNN",
            _by_network(network, 57.1, 59.2, 66.9),
            BASE,
            note=f"{hours} h of training, {test} s a picture",
        ),
        Row(
            "with truncated SVD",
            _by_network(network, 56.5, 58.7, 66.6),
            BASE,
            Variant(SVD),
            note=f"{with_svd} s a picture",
        ),
    )
    return Table(
        "Table 4: time, and truncated SVD",
        "SVD of fc6 and fc7 saves a third or more of the time and costs half a point of mAP or "
        "less.",
        rows,
    )


def table_5(network: Network, recipe: Recipe) -> Table:
    """Which layers learn (VGG16)."""
    # Of VGG16 as in the paper. Of other networks, half of the layers and all but the first.
    layers = layer_names(recipe.backbone)
    names = ["conv3_1", "conv2_1"]
    if not set(names) <= set(layers):
        names = [layers[len(layers) // 2], layers[1]]
    trainings = [
        Training(f"{name} and up", {"first_trainable": name, "flip_maps": False})
        for name in ("fc6", *names)
    ]
    published = (61.4, 66.9, 67.2)
    return Table(
        "Table 5: the layers that learn",
        "Learning the convolutions as well is worth 5 points and more; the lowest ones add little.",
        tuple(
            Row(training.name, value, training)
            for training, value in zip(trainings, published, strict=True)
        ),
    )


def table_6(network: Network, recipe: Recipe) -> Table:
    """What the multi-task loss is worth."""
    numbers = ((52.2, 54.7, 62.6), (53.3, 55.5, 63.4), (54.6, 56.6, 64.0), (57.1, 59.2, 66.9))
    rows = (
        ("classification only", CLASSES, Variant()),
        ("multi-task, boxes unused at test", BASE, Variant(regress=False)),
        ("stage-wise", STAGE_WISE, Variant()),
        ("multi-task", BASE, Variant()),
    )
    return Table(
        "Table 6: multi-task training",
        "Learning boxes helps the classes too (about 1 point); stage-wise boxes help more, and "
        "learning both together with boxes at test time helps most.",
        tuple(
            Row(name, _by_network(network, *published), training, variant)
            for (name, training, variant), published in zip(rows, numbers, strict=True)
        ),
    )


def table_7(network: Network, recipe: Recipe) -> Table:
    """One scale and five."""
    # The paper's five, in the same proportion to the recipe's one scale as to the paper's 600.
    sides = [round(side * recipe.shorter / 600) for side in FIVE_SCALES["pyramid"]]
    five = Training(
        "five scales",
        {"pyramid": tuple(sides), "longer": round(FIVE_SCALES["longer"] * recipe.shorter / 600)},
    )
    published = {"S": (57.1, 58.4), "M": (59.2, 60.7), "L": (66.9, None)}[network]
    seconds = {"S": (0.10, 0.39), "M": (0.15, 0.64), "L": (0.32, None)}[network]
    rows = (("one scale", BASE), ("five scales", five))
    return Table(
        "Table 7: one scale and five",
        "Five scales give a point or so and take four times as long, so one scale is the better "
        "choice.",
        tuple(
            Row(name, mean_ap, training, note="" if taken is None else f"{taken:.2f} s a picture")
            for (name, training), mean_ap, taken in zip(rows, published, seconds, strict=True)
        ),
    )


def table_8(network: Network, recipe: Recipe) -> Table:
    """SVMs and softmax."""
    return Table(
        "Table 8: SVMs and softmax",
        "The softmax is as good as SVMs with hard negatives, and slightly better.",
        (
            Row("SVMs", _by_network(network, 56.3, 58.7, 66.8), BASE, Variant(SVM)),
            Row("softmax", _by_network(network, 57.1, 59.2, 66.9), BASE),
        ),
    )


def figure_3(network: Network, recipe: Recipe) -> Table:
    """mAP and average recall over the number of proposals (section 5.5).

    The paper trains anew for each number. Here one training is tested with each, except for dense
    boxes alone.
    """
    rows = [Row(f"{count:,} boxes", None, QUALITY, Variant(proposals=count)) for count in _COUNTS]
    rows += [
        Row(f"2,000 boxes and {count:,} dense ones", None, QUALITY, Variant(dense=count))
        for count in _DENSE_ADDED
    ]
    alone = Variant(proposals=0, dense=_ALL_DENSE)
    rows.append(Row("dense boxes alone", 52.9, DENSE, alone, note="this is M"))
    return Table(
        "Figure 3: the number of proposals",
        "More proposals help, then hurt a little; average recall goes on rising, so it does not "
        "tell which number is best; dense boxes are worse.",
        tuple(rows),
    )


# The network that a recipe trains, if it is one of the paper's.
NETWORKS: dict[str, Network] = {"paper": "L", "paper_s": "S", "paper_m": "M"}

TABLES: dict[str, Callable[[Network, Recipe], Table]] = {
    "1": table_1,
    "4": table_4,
    "5": table_5,
    "6": table_6,
    "7": table_7,
    "8": table_8,
    "figure-3": figure_3,
}

# Figure 2: milliseconds of VGG16 on the paper's GPU, without and with SVD.
FIGURE_2 = {
    "conv": (146, 146),
    "RoI pooling": (17, 17),
    "fc6": (122, 37),
    "fc7": (20, 4),
    "other": (11, 11),
}
