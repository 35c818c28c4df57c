"""`paper`: the paper's tables and figures, run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastrcnn.cli import shared
from fastrcnn.errors import RecipeError

if TYPE_CHECKING:
    import torch

    from fastrcnn.data import Dataset
    from fastrcnn.paper.experiments import Setting
    from fastrcnn.paper.tables import Network
    from fastrcnn.training.recipe import Recipe

_LONG = 3600.0  # seconds; what takes longer is started only when told to
_QUICK_PICTURES = {"train": 400, "val": 1, "test": 200}
# Dense boxes are twenty times as many as others.
_QUICK_FIGURE_3 = 50


def paper(
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="1, 4, 5, 6, 7, 8, figure-2, figure-3 or ablations."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Where trainings and results are kept. What is there is not done again.",
        ),
    ] = Path("runs/paper"),
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Use the pictures that shapes draws and the recipe shapes: minutes."
        ),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A data set, as for train. Rows on more data take all of them, others the first.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="The split that is learned from.")
    ] = "trainval",
    test_split: Annotated[
        str, typer.Option(metavar="NAME", help="The split of the first data set that is scored.")
    ] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Score the first N pictures only.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The settings that each row changes: paper (L), paper_s or paper_m; or others, "
            "such as laptop.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of every row, such as seed=1."
        ),
    ] = None,
    backbone_weights: shared.BackboneWeights = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Start also what takes longer than an hour here.")
    ] = False,
    cache: shared.Cache = None,
    json_file: shared.Json = None,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> int:
    """Run a table or figure of the paper again, ours beside the published numbers.

    Trains the detector of each row, scores it on the test pictures, and prints mAP with its
    standard error (bootstrap over the pictures), the difference from the first row, and what the
    paper has. figure-2 and figure-3 are drawn as PNG too. figure-2 needs no data. ablations is
    ours: what each part of a trained detector (--checkpoint) is worth, without any training. What
    takes longer than an hour says so first, and starts with --yes.
    """
    from fastrcnn.data import open_datasets
    from fastrcnn.paper.experiments import Setting
    from fastrcnn.paper.tables import NETWORKS, TABLES
    from fastrcnn.runtime.device import choose
    from fastrcnn.training.recipe import with_settings
    from fastrcnn.training.recipes import RECIPES

    shared.check_target(json_file)
    names = (*TABLES, "figure-2", "ablations")
    if table not in names:
        raise RecipeError(f"There is no table {table!r}; there are {', '.join(sorted(names))}.")
    base = recipe or ("shapes" if quick else "paper")
    if base not in RECIPES:
        raise RecipeError(f"There is no recipe {base!r}; there are {', '.join(RECIPES)}.")
    settings = with_settings(RECIPES[base], changes or ())
    place = choose(device)
    shared.make_folder(out)
    if table == "figure-2":
        _figure_2(settings, out, place, json_file)
        return 0
    if quick:
        first, joined, test = _draw(out, settings.seed)
        limit = limit or (_QUICK_FIGURE_3 if table == "figure-3" else None)
    elif not data:
        raise RecipeError("Give pictures with --data PATH, or --quick to draw some.")
    else:
        test = open_datasets(data[:1], test_split)
        first = joined = test  # ablations train nothing
        if table != "ablations":
            first, joined = open_datasets(data[:1], split), open_datasets(data, split)
    setting = Setting(settings, first, joined, test[:limit], out, place, cache, backbone_weights)
    if table == "ablations":
        _ablations(setting, checkpoint, json_file)
        return 0
    return _table(table, setting, NETWORKS.get(base, "L"), yes, json_file)


def _draw(out: Path, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """Drawn shapes: pictures to learn from, the same with as many more, pictures to score."""
    from fastrcnn.data import open_dataset, open_datasets, write_shapes

    folders = [out / f"pictures-{seed}", out / f"more-pictures-{seed}"]
    for number, folder in enumerate(folders):
        if not (folder / "test.json").exists():
            write_shapes(folder, seed + 1000 * number, **_QUICK_PICTURES)
    first, test = (open_dataset(folders[0], name) for name in ("train", "test"))
    return first, open_datasets(folders, "train"), test


def _table(name: str, setting: Setting, network: Network, yes: bool, json_file: str | None) -> int:
    from fastrcnn.paper.estimate import seconds_left
    from fastrcnn.paper.experiments import Experiments
    from fastrcnn.paper.plots import plot_proposals
    from fastrcnn.paper.report import fitting, run, to_text
    from fastrcnn.paper.tables import TABLES

    table = fitting(TABLES[name](network, setting.recipe), setting)
    experiments = Experiments(setting, shared.progress)
    needed = seconds_left(experiments, table.rows)
    shared.say(f"This takes about {_duration(needed)} here, on {setting.device}.")
    if needed > _LONG and not yes:
        shared.say("Nothing was started; add --yes to go on. A GPU is many times faster.")
        return 1
    lines = run(experiments, table, with_recall=name == "figure-3")
    if name == "figure-3":
        counts = [row.variant.proposals + row.variant.dense for row in table.rows]
        plot_proposals(lines, counts, setting.out / "figure-3.png")
    if json_file != "-":
        print(
            f"{table.title}\n{len(setting.test)} pictures of {setting.test.name}, trained on "
            f"{len(setting.train)}, seed {setting.recipe.seed}; {_machine(setting.device)}\n"
            f"{to_text(lines, network)}"
        )
        print(f"The paper: {table.finding}")
    rows = [line.to_json_dict() for line in lines]
    shared.write_json(_record(setting) | {"title": table.title, "rows": rows}, json_file)
    return 0


def _figure_2(recipe: Recipe, out: Path, device: torch.device, json_file: str | None) -> None:
    """Time the recipe's network with random weights, which take as long as any others."""
    from fastrcnn.benchmarks.speed import this_machine
    from fastrcnn.benchmarks.stages import time_stages
    from fastrcnn.data import VOC_CLASSES
    from fastrcnn.detector import Detector
    from fastrcnn.images import load_image
    from fastrcnn.model import FastRCNN
    from fastrcnn.paper.experiments import SVD_SHARES
    from fastrcnn.paper.plots import plot_stages
    from fastrcnn.paper.tables import FIGURE_2
    from fastrcnn.proposals import selective_search
    from fastrcnn.runtime.shipped import shipped

    image = load_image(shipped("assets") / "cow.jpg")
    boxes = selective_search(image).boxes[: recipe.max_proposals]
    config = recipe.network_config(VOC_CLASSES)
    ranks = {f"{name}_rank": getattr(recipe, name) // share for name, share in SVD_SHARES.items()}
    ways = {"whole": config.but(fc6_rank=None), "with SVD": config.but(**ranks)}
    found = {}
    for name, own in ways.items():
        detector = Detector(FastRCNN(own).to(device), precision=recipe.precision)
        found[f"ours, {name}"] = time_stages(detector, image, boxes)
    for column, name in enumerate(ways):
        found[f"paper (L), {name}"] = {
            stage: taken[column] / 1000 for stage, taken in FIGURE_2.items()
        }
    plot_stages(found, out / "figure-2.png")
    machine = vars(this_machine(device))
    if json_file != "-":
        facts = ", ".join(f"{name} {value}" for name, value in machine.items())
        print(f"Figure 2: where a picture's time goes\n{len(boxes)} boxes; {facts}")
        print(f"{'seconds':22}" + "".join(f"{stage:>13}" for stage in FIGURE_2) + f"{'all':>10}")
        for name, stages in found.items():
            cells = "".join(f"{stages[stage]:13.3f}" for stage in FIGURE_2)
            print(f"{name:22}{cells}{sum(stages.values()):10.3f}")
    shared.write_json({"machine": machine, "boxes": len(boxes), "seconds": found}, json_file)


def _ablations(setting: Setting, checkpoint: Path | None, json_file: str | None) -> None:
    from fastrcnn.detector import Detector
    from fastrcnn.evaluation.variants import ablations, changed_networks
    from fastrcnn.paper.experiments import Experiments, weights_digest
    from fastrcnn.paper.report import compare, to_text
    from fastrcnn.paper.tables import BASE

    detector = Detector.from_checkpoint(checkpoint, device=str(setting.device))
    networks = changed_networks(detector)
    experiments = Experiments(setting, shared.progress)
    outcomes = experiments.detect_with(
        networks,
        ablations(networks),
        experiments.searched(BASE),
        setting.out / f"ablations-{weights_digest(detector.model)}",
        "ablations",
    )
    lines = compare(outcomes, setting.test)
    if json_file != "-":
        where = f"{len(setting.test)} pictures of {setting.test.name}; {_machine(setting.device)}"
        print(f"What each part is worth\n{where}\n{to_text(lines)}")
    rows = [line.to_json_dict() for line in lines]
    shared.write_json(_record(setting) | {"title": "ablations", "rows": rows}, json_file)


def _record(setting: Setting) -> dict:
    """The circumstances of a run."""
    from fastrcnn.benchmarks.speed import this_machine

    return {
        "pictures": len(setting.test),
        "data": setting.test.name,
        "train_pictures": len(setting.train),
        "recipe": setting.recipe.model_dump(mode="json"),
        "machine": vars(this_machine(setting.device)),
    }


def _machine(device: torch.device) -> str:
    from fastrcnn.benchmarks.speed import this_machine

    own = this_machine(device)
    return f"{own.device}, {own.processor}, {own.cores} cores, {own.threads} threads"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"
