"""The command line: `python -m fastrcnn COMMAND --help`.

Answers go to standard output, progress and errors to standard error. Exit code 0 is success, 1 an
input that could not be used, 2 a command line that could not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from fastrcnn.benchmarks.half_precision import compare_rounding
from fastrcnn.data import Dataset, open_dataset, without_bad_pictures, write_shapes
from fastrcnn.data.coco import coco_image_ids
from fastrcnn.detections import Detections, coco_results, picture_record
from fastrcnn.detector import VOTE_THRESHOLD, Detector, Trace
from fastrcnn.draw import draw_boxes
from fastrcnn.errors import FastRCNNError, ImageError, RecipeError, reason
from fastrcnn.evaluation.ablations import AblationRow, ablate
from fastrcnn.evaluation.average_precision import (
    Evaluation,
    evaluate,
    load_detections,
    score_detections,
)
from fastrcnn.evaluation.error_analysis import KINDS, missed_objects, worst_false_positives
from fastrcnn.evaluation.recall import compare_recall
from fastrcnn.images import load_image, save_image
from fastrcnn.model import FastRCNN, Resize, compress, load_checkpoint, save_checkpoint
from fastrcnn.proposals import MODES, selective_search
from fastrcnn.proposals.cache import ProposalCache
from fastrcnn.runtime import distributed
from fastrcnn.runtime.allocator import give_back
from fastrcnn.runtime.atomic_write import written_whole
from fastrcnn.training.caches import feature_cache, fill_caches
from fastrcnn.training.recipe import Recipe, with_settings
from fastrcnn.training.recipes import RECIPES
from fastrcnn.training.records import (
    CheckpointSaved,
    EpochEnd,
    Finished,
    Progress,
    Step,
    Validation,
)
from fastrcnn.training.trainer import Trainer, build_model

if TYPE_CHECKING:
    from fastrcnn.benchmarks.growth import Growth
    from fastrcnn.benchmarks.speed import SpeedRow

T = TypeVar("T")

_DRAWN_PROPOSALS = 100
_SHOWN = 0.5  # the least score of what detect shows
_SMALL_SHARE = 0.01  # of a picture's area
_REASONS = 3
_DATA_HELP = (
    "a Pascal VOC folder (JPEGImages, Annotations, ImageSets/Main), or a COCO JSON file or a "
    "folder of them"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except FastRCNNError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        # Files are told of where they are read and written: this is standard output. Python would
        # try it again at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Where whoever read it (head, say) has gone, nobody needs to be told.
        if not isinstance(error, BrokenPipeError):
            print(f"error: The answer cannot be written: {reason(error)}.", file=sys.stderr)
        return 1


# What each command does


def _detect(options: argparse.Namespace) -> int:
    quiet = _check_targets(options.json, options.coco)
    if options.save is not None:
        _make_folder(options.save)
    detector = Detector.from_checkpoint(options.checkpoint)
    records, failed = [], False
    results: list[dict] = []
    drawn: set[Path] = set()
    for number, photo in enumerate(_progress(options.photos, "detecting"), start=1):
        try:
            trace = detector.trace(
                photo,
                score_threshold=options.score,
                nms_threshold=options.nms,
                vote_threshold=options.vote,
                proposals=options.proposals,
                retry=options.retry,
            )
        except ImageError as error:
            _say(f"error: {error}")
            failed = True
            continue
        height, width = trace.image.shape[:2]
        records.append(picture_record(photo, height, width, trace.detections, trace.seconds))
        results += coco_results(trace.detections, number)
        if options.save is not None:
            save_image(
                _unused(options.save, Path(photo).stem, drawn),
                trace.detections.draw(trace.image),
            )
        if not quiet:
            tqdm.write(_describe(photo, trace))
        del trace
        give_back()
    _write_json(records, options.json)
    _write_json(results, options.coco)
    return int(failed)


def _proposals(options: argparse.Namespace) -> int:
    _check_target(options.json)
    image = load_image(options.photo)
    start = time.perf_counter()
    boxes = selective_search(image, options.mode, seed=options.seed).boxes
    seconds = time.perf_counter() - start
    height, width = image.shape[:2]
    if options.json != "-":
        print(f"{options.photo}: {len(boxes)} proposals in {seconds:.1f} s")
    if options.save is not None:
        save_image(options.save, draw_boxes(image, boxes[:_DRAWN_PROPOSALS]))
    _write_json(
        {
            "image": options.photo,
            "width": width,
            "height": height,
            "boxes": [[round(float(x), 2) for x in box] for box in boxes],
        },
        options.json,
    )
    return 0


def _train(options: argparse.Namespace) -> int:
    if options.recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise RecipeError(f"There is no recipe {options.recipe!r}; there are {known}.")
    recipe = with_settings(RECIPES[options.recipe], options.set)
    distributed.init()
    try:
        train, val = _training_pictures(options, recipe)
        model = build_model(recipe, train.classes, options.backbone_weights)
        if options.init is not None:
            _copy_weights(options.init, model)
        features = feature_cache(recipe, model, options.cache)
        proposals = ProposalCache(MODES[recipe.proposals_mode], options.cache)
        trainer = Trainer(
            recipe,
            model,
            train,
            val,
            out=options.out,
            features=features,
            proposals=proposals,
            resume=options.resume,
        )
        _fill_caches(fill_caches(trainer, features, proposals))
        return _follow(trainer)
    finally:
        distributed.shutdown()


def _training_pictures(
    options: argparse.Namespace, recipe: Recipe
) -> tuple[Dataset, Dataset | None]:
    train = _open(options, options.split, options.limit)
    # The recipe sets validation pictures apart itself, or a lone COCO file has no other split.
    if recipe.validation_fraction or options.data.is_file():
        return train, None
    return train, _open(options, options.val_split, options.val_limit)


def _copy_weights(path: Path, model: FastRCNN) -> None:
    source, _ = load_checkpoint(path)
    same = ("classes", "backbone", "divisor", "pool_size", "fc6", "fc7", "fc6_rank", "fc7_rank")
    for name in same:
        theirs, ours = getattr(source.config, name), getattr(model.config, name)
        if theirs != ours:
            raise RecipeError(
                f"{path} cannot be the start of this training: its {name} is {theirs}, the "
                f"recipe's and data's {ours}."
            )
    model.load_state_dict(source.state_dict())


def _fill_caches(making: Iterable[Progress]) -> None:
    """A bar for each kind of thing that is made beforehand."""
    bar, stage = None, ""
    for record in making:
        if bar is None or record.stage != stage:
            if bar is not None:
                bar.close()
            stage = record.stage
            bar = _progress((), stage, total=record.total)
        bar.update(record.done - bar.n)
    if bar is not None:
        bar.close()


def _follow(trainer: Trainer) -> int:
    """Run the training and tell how it goes."""
    first = distributed.rank() == 0
    terminal = sys.stderr.isatty()
    saved, validation = trainer.iteration, ""
    bar = tqdm(
        total=trainer.iterations,
        initial=trainer.iteration,
        desc="training",
        disable=not first,
        file=sys.stderr,
        # In a log, a line a minute will do.
        mininterval=0.1 if terminal else 60,
    )
    with bar:
        try:
            for record in trainer:
                match record:
                    case Step():
                        bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
                        bar.update()
                    case Progress():
                        stage = f"{record.stage} {record.done}/{record.total}"
                        bar.set_postfix_str(stage, refresh=terminal)
                    case Validation():
                        validation = f"; validation {_losses(record)}"
                    case EpochEnd() if first:
                        _say(f"epoch {record.epoch}: training {_losses(record)}{validation}")
                    case CheckpointSaved():
                        saved = record.iteration
                    case Finished() if first:
                        _say(f"The trained detector is in {record.path}.")
        except KeyboardInterrupt:
            trainer.close()
            if first:
                _say(f"Interrupted; --resume goes on after iteration {saved}.")
            return 130
    return 0


def _losses(record: EpochEnd | Validation) -> str:
    return f"{record.loss:.4f} (class {record.loss_cls:.4f}, box {record.loss_loc:.4f})"


def _evaluate(options: argparse.Namespace) -> int:
    quiet = _check_targets(options.json, options.coco)
    distributed.init()
    try:
        dataset = _open(options, options.split, options.limit)
        evaluation, found = _evaluated(options, dataset)
        if distributed.rank() == 0:
            if not quiet:
                _print_evaluation(evaluation)
            _write_json(evaluation.to_json_dict(), options.json)
            if options.coco is not None:
                results = (
                    coco_results(found[image_id], number, dataset.category_ids)
                    for image_id, number in coco_image_ids(dataset).items()
                )
                _write_json([*chain.from_iterable(results)], options.coco)
    finally:
        distributed.shutdown()
    return 0


def _evaluated(
    options: argparse.Namespace, dataset: Dataset
) -> tuple[Evaluation, Mapping[str, Detections]]:
    """The scores of saved detections, or of a detector that is run now, and the detections."""
    if options.detections is not None:
        found = load_detections(options.detections, dataset)
        return score_detections(found, dataset), found
    detector = Detector.from_checkpoint(options.checkpoint)
    chosen = partial(
        detector,
        score_threshold=options.score,
        nms_threshold=options.nms,
        vote_threshold=options.vote,
        proposals=options.proposals,
    )
    return evaluate(chosen, dataset, partial(_progress, label="evaluating"))


def _compress(options: argparse.Namespace) -> int:
    model, metadata = load_checkpoint(options.checkpoint)
    smaller = compress(model, options.fc6_rank, options.fc7_rank)
    if options.shorter is not None:
        # In proportion, as the paper's 600 and 1000 are.
        resize = Resize(shorter=options.shorter, longer=round(options.shorter * 5 / 3))
        smaller.config = smaller.config.but(resize=resize)
    # Its scores were measured before, and are not the new file's.
    metadata["before_compression"] = {"metrics": metadata.pop("metrics", None)}
    save_checkpoint(options.out, smaller, metadata, half=options.half)
    before, after = (sum(p.numel() for p in m.head.parameters()) for m in (model, smaller))
    print(f"{options.out}: the head's {before:,} numbers became {after:,}")
    return 0


def _export(options: argparse.Namespace) -> int:
    # Here, since it is the one command that PyTorch's exporter is imported for.
    from fastrcnn.model.onnx import INPUTS, OUTPUTS, export_onnx

    model, _ = load_checkpoint(options.checkpoint)
    export_onnx(model, options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.0f} MB; takes {' and '.join(INPUTS)}, gives {', '.join(OUTPUTS)}")
    return 0


def _recall(options: argparse.Namespace) -> int:
    _check_target(options.json)
    dataset = _open(options, options.split, options.limit)
    progress = partial(_progress, label="searching")
    rows = list(compare_recall(dataset, options.mode, options.proposals, options.iou, progress))
    if options.json != "-":
        print(
            f"{len(dataset)} pictures of {dataset.name}, at most {options.proposals} boxes each, "
            f"recall at IoU {options.iou}"
        )
        print(f"{'':20}{'recall':>8}{'MABO':>8}{'boxes':>8}{'s/picture':>11}")
        for row in rows:
            print(
                f"{row.method:20}{row.recall:8.4f}{row.mean_best_overlap:8.4f}{row.boxes:8.0f}"
                f"{row.seconds_per_image:11.2f}"
            )
    _write_json([vars(row) for row in rows], options.json)
    return 0


def _bench(options: argparse.Namespace) -> int:
    # Here, since they import all that they compare with.
    from fastrcnn.benchmarks import growth, speed
    from fastrcnn.benchmarks.memory import measure_memory, measure_start

    _check_target(options.json)
    known = (*speed.ROWS, *growth.TABLES, "memory", "start")
    for name in options.rows:
        if name not in known:
            raise FastRCNNError(f"There is no row {name!r}; there are {', '.join(known)}.")
    chosen = tuple(options.rows) or known
    show = (lambda line: None) if options.json == "-" else partial(print, flush=True)
    machine = speed.this_machine()
    found: dict[str, object] = {"machine": vars(machine)}
    show(", ".join(f"{name} {value}" for name, value in vars(machine).items()))

    if rows := [name for name in speed.ROWS if name in chosen]:
        show(f"{'':20}{'ours, s':>10}{'spread':>8}{'other, s':>10}{'spread':>8}{'ratio':>8}{'':8}")
        found["rows"] = measured = []
        for row in speed.measure(tuple(rows), options.turns):
            show(_speed_line(row))
            measured.append(vars(row) | {"ratio": row.ratio, "reached": row.reached})
    if tables := [name for name in growth.TABLES if name in chosen]:
        found["growth"] = grown = []
        for table in growth.measure_growth(tuple(tables), options.turns):
            show(_growth_lines(table))
            grown.append(vars(table) | {"exponents": table.exponents})
    if "memory" in chosen:
        memory = measure_memory()
        found["memory"] = vars(memory)
        for size, taken in memory.peak.items():
            show(f"detect takes at most {taken:.0f} MB for a photograph of {size}")
        held = ", ".join(f"{taken:.0f} after {count}" for count, taken in memory.after.items())
        show(f"over pictures of all sizes at most {memory.most:.0f} MB; between them {held}")
    if "start" in chosen:
        start = measure_start(options.turns)
        found["start"] = vars(start)
        show(f"import fastrcnn: {start.imported:.2f} s, Python included")
        show(f"app.py answers with its first page after {start.first_page:.2f} s")
    _write_json(found, options.json)
    return 0


def _speed_line(row: SpeedRow) -> str:
    cells = "".join(
        f"{statistics.median(taken):10.3f}{max(taken) / min(taken) - 1:8.0%}"
        for taken in (row.seconds, row.reference_seconds)
    )
    wanted = f"{'<=' if row.floor else '>='} {row.target:g}"
    return f"{row.name:20}{cells}{row.ratio:8.2f} {wanted:7} {row.reference}"


def _growth_lines(table: Growth) -> str:
    lines = [f"{table.name:20}{table.unit:>12}{'seconds':>10}{'growth':>8}  (1.00 is linear)"]
    for size, taken, power in zip(
        table.sizes, table.seconds, (None, *table.exponents), strict=True
    ):
        grown = "" if power is None else f"{power:8.2f}"
        lines.append(f"{'':20}{size:12,}{taken:10.3f}{grown}")
    return "\n".join(lines)


def _ablate(options: argparse.Namespace) -> int:
    _check_target(options.json)
    distributed.init()
    try:
        dataset = _open(options, options.split, options.limit)
        others = {
            name: Detector.from_checkpoint(path) for name, path in map(_named_file, options.other)
        }
        rows = ablate(
            Detector.from_checkpoint(options.checkpoint),
            dataset,
            ProposalCache(MODES["fast"], options.cache),
            others,
            partial(_progress, label="ablating"),
            options.only_others,
        )
        if distributed.rank() == 0:
            if options.json != "-":
                _print_ablation(dataset, rows)
            _write_json([vars(row) for row in rows], options.json)
    finally:
        distributed.shutdown()
    return 0


def _print_ablation(dataset: Dataset, rows: Iterable[AblationRow]) -> None:
    print(f"{len(dataset)} pictures of {dataset.name}, mAP (area) at IoU 0.5")
    print(f"{'':46}{'mAP':>8}{'difference':>12}{'+-':>8}{'boxes':>8}")
    for row in rows:
        name = f"{row.table}: {row.variant}" if row.table else row.variant
        print(f"{name:46}{row.mean_ap:8.4f}{row.difference:+12.4f}{row.error:8.4f}{row.boxes:8.1f}")


def _rounding(options: argparse.Namespace) -> int:
    _check_target(options.json)
    dataset = _open(options, options.split, options.limit)
    model, _ = load_checkpoint(options.checkpoint)
    found = compare_rounding(model, dataset, options.score, partial(_progress, label="comparing"))
    by_least = {least: found.moved[found.scores >= least] for least in (options.score, _SHOWN)}
    if options.json != "-":
        print(f"{len(dataset)} pictures of {dataset.name}")
        print(f"{'':12}{'mAP (area)':>12}{'11-point':>12}")
        for name in ("float32", "bfloat16"):
            scored = getattr(found, name)
            print(f"{name:12}{scored.map_area:12.4f}{scored.map_11point:12.4f}")
        for least, moved in by_least.items():
            print(
                f"{len(moved)} detections of at least {least:g}: the score moves by "
                f"{moved.mean() if len(moved) else 0:.4f} on average, {moved.max(initial=0):.4f} "
                "at most"
            )
    _write_json(
        {
            "float32": found.float32.to_json_dict(),
            "bfloat16": found.bfloat16.to_json_dict(),
            "moved": [
                {
                    "least_score": least,
                    "detections": len(moved),
                    "mean": float(moved.mean()) if len(moved) else None,
                    "most": float(moved.max()) if len(moved) else None,
                }
                for least, moved in by_least.items()
            ],
        },
        options.json,
    )
    return 0


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise RecipeError(f"{text!r} is not NAME=FILE, such as frozen=runs/a/model.safetensors.")
    return name, path


def _shapes(options: argparse.Namespace) -> int:
    splits = {name: getattr(options, name) for name in ("train", "val", "test")}
    write_shapes(options.out, options.seed, **splits)
    counted = ", ".join(f"{count} for {name}" for name, count in splits.items())
    print(f"{options.out}: pictures of shapes, {counted}")
    return 0


def _failures(options: argparse.Namespace) -> int:
    _check_target(options.json)
    dataset = _open(options, options.split, options.limit)
    _, found = _evaluated(options, dataset)
    worst = worst_false_positives(found, dataset, options.worst)
    cache = ProposalCache(MODES["fast"], options.cache)
    boxes = (cache.get(annotation) for annotation in _progress(dataset, "proposals"))
    missed = missed_objects(boxes, dataset, dataset.classes)
    objects = sum(int((~annotation.difficult).sum()) for annotation in dataset)
    counts = {
        name: {kind: sum(item.kind == kind for item in wrong) for kind in KINDS}
        for name, wrong in worst.items()
    }
    if options.json != "-":
        print(f"The {options.worst} surest false positives of each class, by what they overlap:")
        print(f"{'':14}" + "".join(f"{kind:>14}" for kind in KINDS))
        total = {kind: sum(row[kind] for row in counts.values()) for kind in KINDS}
        for name, row in [*counts.items(), ("all", total)]:
            print(f"{name:14}" + "".join(f"{row[kind]:14}" for kind in KINDS))
        small = sum(item.share < _SMALL_SHARE for item in missed)
        print(
            f"Selective search misses {len(missed)} of {objects} objects; {small} of them are "
            f"smaller than {_SMALL_SHARE:.0%} of their picture."
        )
    _write_json(
        {
            "images": len(dataset),
            "objects": objects,
            "false_positives": [
                vars(item) | {"box": [round(float(x), 2) for x in item.box]}
                for wrong in worst.values()
                for item in wrong
            ],
            "missed": [vars(item) for item in missed],
        },
        options.json,
    )
    return 0


# What they share


def _open(options: argparse.Namespace, split: str, limit: int | None) -> Dataset:
    """The first pictures of a split, without the bad ones among them where --skip-bad is given."""
    if not options.skip_bad:
        return open_dataset(options.data, split)[:limit]
    bad: list[FastRCNNError] = []
    try:
        dataset = open_dataset(options.data, split, bad.append)[:limit]
        return without_bad_pictures(dataset, bad.append, partial(_progress, label="checking"))
    finally:
        if bad and distributed.rank() == 0:
            _say(f"Left out {len(bad)} bad entries of the split {split!r}; the first reasons:")
            for error in bad[:_REASONS]:
                _say(f"  {error}")


def _progress(items: Iterable[T], label: str, total: int | None = None) -> tqdm:
    """A progress bar with the time left, on a terminal and in the first process only."""
    hidden = True if distributed.rank() else None
    return tqdm(items, desc=label, total=total, unit=" pictures", disable=hidden, file=sys.stderr)


def _say(line: str) -> None:
    """A line on standard error that leaves a progress bar whole."""
    tqdm.write(line, file=sys.stderr)


def _check_target(target: str | None) -> None:
    """Refuse, before the work is done, a file that could not be written after it."""
    if target not in (None, "-") and not Path(target).parent.is_dir():
        raise FastRCNNError(f"{target} cannot be written: its folder does not exist.")


def _check_targets(json_target: str | None, coco_target: str | None) -> bool:
    """The same for both, and whether one of them is standard output, which then gets no more."""
    for target in (json_target, coco_target):
        _check_target(target)
    if json_target == coco_target == "-":
        raise FastRCNNError("--json and --coco cannot both be -; name a file for one of them.")
    return "-" in (json_target, coco_target)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FastRCNNError(f"The folder {folder} cannot be made: {reason(error)}.") from error


def _write_json(value: object, target: str | None) -> None:
    if target is None:
        return
    text = json.dumps(value, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(target)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device, which nothing can replace
            path.write_text(text, encoding="utf-8")
            return
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FastRCNNError(f"{target} cannot be written: {reason(error)}.") from error


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


def _print_evaluation(evaluation: Evaluation) -> None:
    for name, value in sorted(evaluation.ap.items()):
        print(f"{name:<14} {'-' if math.isnan(value) else f'{value:.3f}'}")
    print(
        f"mAP over {evaluation.images} pictures: {evaluation.map_area:.3f} (area under the curve), "
        f"{evaluation.map_11point:.3f} (11-point), {evaluation.map_coco:.3f} (IoU 0.5 to 0.95)"
    )


# The options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fastrcnn",
        description="Fast R-CNN: find the objects in photographs, and train what finds them.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    detect = _command(
        commands,
        "detect",
        _detect,
        "find the objects in photographs",
        "Find the objects in photographs: what each is, how sure the network is, and the box "
        "around it. A photograph that cannot be read is reported and the others are done; the "
        "exit code is then 1.",
    )
    detect.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="JPEG, PNG, WebP, BMP, GIF, TIFF"
    )
    _add_json(detect, "the detections")
    _add_coco(
        detect, "image_id is the photograph's place on the command line, category_id its class's"
    )
    detect.add_argument(
        "--save",
        type=Path,
        metavar="DIR",
        help="write each photograph with its boxes drawn into this folder, as PNG",
    )
    _add_detector(detect, score=_SHOWN)
    detect.add_argument(
        "--retry",
        type=_share,
        metavar="SCORE",
        help="where nothing reaches --score, give the best box that reaches this",
    )

    proposals = _command(
        commands,
        "proposals",
        _proposals,
        "show where selective search would look",
        "Run selective search alone: the boxes in which the detector would look for objects, "
        "best first. No network is involved.",
    )
    proposals.add_argument("photo", metavar="PHOTO", help="JPEG, PNG, WebP, BMP, GIF or TIFF")
    _add_mode(proposals)
    proposals.add_argument(
        "--seed",
        type=_whole,
        help="of the random numbers in the ranking; the same seed, the same order",
    )
    _add_json(proposals, "the boxes")
    proposals.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help=f"write the photograph with the best {_DRAWN_PROPOSALS} boxes drawn",
    )

    train = _command(
        commands,
        "train",
        _train,
        "train a detector on annotated pictures",
        "Train a detector. The run's folder gets a checkpoint every few minutes, metrics.jsonl, "
        "the loss curves loss.png, and at the end model.safetensors, which the other commands "
        "take as --checkpoint. Under torchrun the pictures of each batch are shared out among "
        "its processes.",
    )
    train.add_argument(
        "--recipe", required=True, metavar="NAME", help=f"one of {', '.join(RECIPES)}"
    )
    _add_data(train, "train", "the split to learn from")
    train.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the run's folder, made if need be"
    )
    train.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in the run's folder"
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe, such as epochs=2; may be given several times",
    )
    train.add_argument(
        "--limit", type=_count, metavar="N", help="learn from the first N pictures only"
    )
    train.add_argument(
        "--val-split",
        default="val",
        metavar="NAME",
        help="the split for the validation pass, unless the recipe sets aside a share of the "
        "training pictures (default: val)",
    )
    train.add_argument(
        "--val-limit", type=_count, metavar="N", help="validate on the first N pictures only"
    )
    train.add_argument(
        "--backbone-weights",
        metavar="FILE",
        help="VGG16 convolution weights to start from (default: those that come with the project); "
        '"torchvision" downloads torchvision\'s. The recipe shapes takes none',
    )
    train.add_argument(
        "--init",
        metavar="CHECKPOINT",
        help="start from a trained model's weights instead, its last layers too",
    )
    _add_cache(train)

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "measure a detector's average precision",
        "Run a detector over annotated pictures and print its average precision per class and "
        "their mean, as the Pascal VOC challenges define it. Under torchrun the pictures are "
        "shared out among its processes.",
    )
    _add_data(evaluate, "val", "the split to measure on")
    evaluate.add_argument("--limit", type=_count, metavar="N", help="the first N pictures only")
    evaluate.add_argument(
        "--detections",
        metavar="FILE",
        help="score these detections, written by detect --json, and run no model",
    )
    _add_json(evaluate, "the figures")
    _add_coco(
        evaluate,
        "the ids are those of the COCO JSON; of a VOC folder, the picture's name as a number and "
        "the class's place",
    )
    _add_detector(evaluate, score=0.01)

    failures = _command(
        commands,
        "failures",
        _failures,
        "sort a detector's surest mistakes by kind",
        "Run a detector over annotated pictures, take the surest false positives of each class and "
        "count what they overlap: an object of their own class (localisation), of a similar class, "
        "of another, or none (background). Objects that selective search misses are counted too.",
    )
    _add_data(failures, "val", "the split to look at")
    failures.add_argument("--limit", type=_count, metavar="N", help="the first N pictures only")
    failures.add_argument(
        "--worst",
        type=_count,
        default=20,
        metavar="N",
        help="false positives a class (default: 20)",
    )
    failures.add_argument(
        "--detections",
        metavar="FILE",
        help="look at these detections, written by detect --json, and run no model",
    )
    _add_cache(failures)
    _add_json(failures, "every one of them")
    _add_detector(failures, score=0.01)

    parts = _command(
        commands,
        "ablate",
        _ablate,
        "measure what each part of a detector is worth",
        "Run a detector over annotated pictures as it is and changed in one thing at a time: "
        "without box regression, without the vote, with fewer proposals, other RoI pooling, other "
        "score thresholds, smaller heads. Prints mAP, the difference and its standard error "
        "(bootstrap over the pictures). Under torchrun the pictures are shared out.",
    )
    _add_data(parts, "val", "the split to measure on")
    parts.add_argument("--limit", type=_count, metavar="N", help="the first N pictures only")
    parts.add_argument(
        "--other",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="another detector to compare with; may be given several times",
    )
    parts.add_argument(
        "--only-others",
        action="store_true",
        help="compare with the others alone, and change nothing",
    )
    _add_cache(parts)
    _add_json(parts, "the rows")
    _add_checkpoint(parts)

    rounding = _command(
        commands,
        "rounding",
        _rounding,
        "measure what computing in bfloat16 changes",
        "Run a detector over annotated pictures in float32 and, on the same proposals, in "
        "bfloat16. Prints both mAPs, and by how much the scores of the detections move.",
    )
    _add_data(rounding, "val", "the split to measure on")
    rounding.add_argument(
        "--limit", type=_count, default=200, metavar="N", help="the first N pictures (default: 200)"
    )
    rounding.add_argument(
        "--score",
        type=_share,
        default=0.01,
        help="leave out what scores less, 0 to 1 (default: 0.01)",
    )
    _add_checkpoint(rounding)
    _add_json(rounding, "the figures")

    compress = _command(
        commands,
        "compress",
        _compress,
        "make a detector smaller and faster by truncated SVD",
        "Replace each of the two large fully connected layers by two smaller ones, its truncated "
        "SVD (section 3.1 of the paper, which uses ranks 1024 and 256 for 4096-wide layers).",
    )
    compress.add_argument(
        "--fc6-rank",
        type=_count,
        metavar="K",
        help="singular values kept of fc6 (default: it stays as it is)",
    )
    compress.add_argument(
        "--fc7-rank",
        type=_count,
        metavar="K",
        help="singular values kept of fc7 (default: it stays as it is)",
    )
    compress.add_argument(
        "--shorter",
        type=_count,
        metavar="PIXELS",
        help="the shorter side that pictures get from now on, the longer at most 5/3 of it "
        "(default: as trained)",
    )
    compress.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the new checkpoint"
    )
    compress.add_argument("--half", action="store_true", help="store 16-bit numbers: half the size")
    _add_checkpoint(compress)

    export = _command(
        commands,
        "export",
        _export,
        "write the network as ONNX, for programs without PyTorch",
        "Write the network, from a picture and boxes to scores and regressed boxes, as one ONNX "
        "file. Proposals, resizing and non-maximum suppression are left to the program that uses "
        "it; the file's metadata names the classes and says how pictures are resized. Needs the "
        "package onnxscript.",
    )
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the ONNX file")
    _add_checkpoint(export)

    recall = _command(
        commands,
        "recall",
        _recall,
        "measure how many objects the proposals reach, beside OpenCV's",
        "Run our selective search and OpenCV's own (switchToSelectiveSearchFast) on the same "
        "annotated pictures. Recall is the share of the objects that some box overlaps by at "
        "least --iou; MABO is the mean over classes of the average best overlap.",
    )
    _add_data(recall, "val", "the split to measure on")
    recall.add_argument(
        "--limit", type=_count, default=200, metavar="N", help="the first N pictures (default: 200)"
    )
    _add_mode(recall)
    recall.add_argument(
        "--proposals",
        type=_count,
        default=2000,
        metavar="N",
        help="boxes a picture (default: 2000)",
    )
    recall.add_argument(
        "--iou", type=_share, default=0.5, help="overlap that counts as reached (default: 0.5)"
    )
    _add_json(recall, "the figures")

    bench = _command(
        commands,
        "bench",
        _bench,
        "time each stage beside a reference, and what grows with what",
        "Run each stage and what it is compared with by turns, in this very run, and print "
        "medians, spread (slowest over fastest, less 1) and ratio, with the ratio that is wanted. "
        "Then how the cost grows with the picture (picture-size), the proposals (boxes) and the "
        "mini-batch (batch), what memory detecting takes (memory), and how long the package and "
        "the page take to start (start).",
    )
    bench.add_argument(
        "rows", nargs="*", metavar="ROW", help="only these rows and tables (default: all)"
    )
    bench.add_argument(
        "--turns", type=_count, default=5, metavar="N", help="turns of each (default: 5)"
    )
    _add_json(bench, "every turn")

    shapes = _command(
        commands,
        "shapes",
        _shapes,
        "draw the built-in training set",
        "Draw pictures of textured, overlapping shapes on cluttered backgrounds, with their boxes, "
        "for a first training: the recipe shapes learns them in two minutes of processor time. "
        "The folder is what the other commands take as --data.",
    )
    shapes.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the set's folder, made if need be"
    )
    for split, count, use in (
        ("train", 400, "to learn from"),
        ("val", 50, "to watch the training with"),
        ("test", 200, "to measure the result with"),
    ):
        shapes.add_argument(
            f"--{split}",
            type=_count,
            default=count,
            metavar="N",
            help=f"pictures {use} (default: {count})",
        )
    shapes.add_argument(
        "--seed",
        type=_whole,
        default=0,
        help="another seed draws other pictures (default: 0)",
    )
    return parser


def _command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int],
    short: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=short, description=description)
    parser.set_defaults(run=run)
    return parser


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--json",
        metavar="FILE",
        help=f"write {what} as JSON; - is standard output, which then gets nothing else",
    )


def _add_coco(parser: argparse.ArgumentParser, ids: str) -> None:
    parser.add_argument(
        "--coco",
        metavar="FILE",
        help=f"write the detections as COCO results JSON ({ids}, from 1); - as for --json",
    )


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="the trained detector (default: the one that comes with the project)",
    )


def _add_detector(parser: argparse.ArgumentParser, score: float) -> None:
    parser.add_argument(
        "--score",
        type=_share,
        default=score,
        help=f"leave out what scores less, 0 to 1 (default: {score})",
    )
    parser.add_argument(
        "--nms",
        type=_share,
        default=0.3,
        metavar="IOU",
        help="of two boxes of one class that overlap more, keep the better (default: 0.3)",
    )
    parser.add_argument(
        "--vote",
        type=_share_or_none,
        default=VOTE_THRESHOLD,
        metavar="IOU",
        help="move what was kept to the mean of the boxes of its class that overlap it by this "
        "much, or none, which leaves it in its place as the paper does "
        f"(default: {VOTE_THRESHOLD})",
    )
    parser.add_argument(
        "--proposals",
        type=_count,
        default=2000,
        metavar="N",
        help="how many of selective search's boxes are looked at (default: 2000)",
    )
    _add_checkpoint(parser)


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where proposals and frozen layers' features are kept (default: $FASTRCNN_CACHE or "
        "~/.cache/fastrcnn)",
    )


def _add_data(parser: argparse.ArgumentParser, split: str, what: str) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=_DATA_HELP)
    parser.add_argument("--split", default=split, metavar="NAME", help=f"{what} (default: {split})")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out pictures that cannot be used, and say how many and why; each is read once "
        "more for that (default: stop at the first)",
    )


def _add_mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mode",
        choices=sorted(MODES),
        default="fast",
        help="how many ways of grouping are pooled: single is quickest, quality finds most "
        "(default: fast)",
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _share_or_none(text: str) -> float | None:
    return None if text.lower() == "none" else _share(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, 0 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
