"""`train`: a detector from annotated pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from fastrcnn.cli import shared
from fastrcnn.errors import MissingPackageError, RecipeError

if TYPE_CHECKING:
    from fastrcnn.model import FastRCNN
    from fastrcnn.training.records import EpochEnd, Progress, Validation
    from fastrcnn.training.trainer import Trainer


def train(
    context: typer.Context,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The settings to start from, such as shapes, laptop or paper. Another name lists "
            "them all.",
        ),
    ],
    data: shared.Data,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The run's folder, made where there is none.")
    ],
    split: shared.Split = "train",
    limit: shared.Limit = None,
    skip_bad: shared.SkipBad = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the run's folder.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the recipe, such as epochs=2. May be given several times.",
        ),
    ] = None,
    val_split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The split of the first data set, if that is a folder, for the validation pass, "
            "unless the recipe sets aside a share of the training pictures.",
        ),
    ] = "val",
    val_limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Validate on the first N pictures only.")
    ] = None,
    backbone_weights: shared.BackboneWeights = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Start from a trained model's weights instead, its last layers too.",
        ),
    ] = None,
    proposals: shared.Proposals = None,
    cache: shared.Cache = None,
    device: shared.Device = "auto",
) -> int:
    """Train a detector on annotated pictures.

    The run's folder gets a checkpoint every few minutes, metrics.jsonl, the loss curves loss.png,
    and at the end model.safetensors, which the other commands take as --checkpoint. Under torchrun
    the pictures of each batch are shared out among its processes.
    """
    if find_spec("matplotlib") is None:  # now, and not when the first curves are drawn
        raise MissingPackageError("Training", "matplotlib")

    from fastrcnn.proposals import MODES
    from fastrcnn.proposals.cache import PreparedProposals, ProposalCache
    from fastrcnn.proposals.files import open_proposals
    from fastrcnn.training.caches import feature_cache, fill_caches
    from fastrcnn.training.recipe import with_settings
    from fastrcnn.training.recipes import RECIPES
    from fastrcnn.training.trainer import Trainer, build_model

    if recipe not in RECIPES:
        raise RecipeError(f"There is no recipe {recipe!r}; there are {', '.join(RECIPES)}.")
    settings = with_settings(RECIPES[recipe], changes or ())
    # The recipe sets validation pictures apart itself, or the COCO file has no other split.
    has_val = not settings.validation_fraction and not data[0].is_file()
    if not has_val:
        why = "if the recipe sets pictures apart or the first data set is a COCO JSON file"
        shared.refuse_unused(context, why, "val_split", "val_limit")
    if init is not None:
        shared.refuse_unused(context, "with --init", "backbone_weights")
    with shared.process_group(device) as own:
        pictures = shared.open_data(data, split, limit, skip_bad)
        val = shared.open_data(data[:1], val_split, val_limit, skip_bad) if has_val else None
        # With --init all weights come from there, so no others are needed.
        weights = "random" if init is not None else backbone_weights
        model = build_model(settings, pictures.classes, weights)
        if init is not None:
            _copy_weights(init, model)
        model.to(own)
        features = feature_cache(settings, model, cache)
        source: PreparedProposals = ProposalCache(MODES[settings.proposals_mode], cache)
        if proposals is not None:
            used = [annotation.path for annotation in (*pictures, *(val or ()))]
            source = open_proposals(proposals, used)
        trainer = Trainer(
            settings,
            model,
            pictures,
            val,
            out=out,
            features=features,
            proposals=source,
            resume=resume,
        )
        _show_making(fill_caches(trainer, features, source))
        return _follow(trainer)


def _copy_weights(path: Path, model: FastRCNN) -> None:
    from fastrcnn.model import load_checkpoint

    source, _ = load_checkpoint(path)
    same = ("classes", "backbone", "divisor", "pool_size", "fc6", "fc7", "fc6_rank", "fc7_rank")
    configs = [net.config.but(pool_size=net.roi_pool.size) for net in (source, model)]
    for name in same:
        theirs, ours = (getattr(config, name) for config in configs)
        if theirs != ours:
            raise RecipeError(
                f"{path} cannot be the start of this training: its {name} is {theirs}, the "
                f"recipe's and data's {ours}."
            )
    model.load_state_dict(source.state_dict())


def _show_making(making: Iterable[Progress]) -> None:
    """A progress bar for each kind of preparation before the training."""
    bar, stage = None, ""
    for record in making:
        if bar is None or record.stage != stage:
            if bar is not None:
                bar.close()
            stage = record.stage
            bar = shared.progress((), stage, total=record.total)
        bar.update(record.done - bar.n)
    if bar is not None:
        bar.close()


def _follow(trainer: Trainer) -> int:
    """Run the training and show its progress."""
    from fastrcnn.training import records

    first = shared.is_first_process()
    terminal = sys.stderr.isatty()
    saved, validation = trainer.iteration, ""
    bar = tqdm(
        total=trainer.iterations,
        initial=trainer.iteration,
        desc="training",
        disable=not first,
        file=sys.stderr,
        # In a log, one line a minute is enough.
        mininterval=0.1 if terminal else 60,
    )
    with bar:
        try:
            for record in trainer:
                match record:
                    case records.Step():
                        bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
                        bar.update()
                    case records.Progress():
                        stage = f"{record.stage} {record.done}/{record.total}"
                        bar.set_postfix_str(stage, refresh=terminal)
                    case records.Validation():
                        validation = f"; validation {_losses(record)}"
                    case records.EpochEnd() if first:
                        shared.say(f"epoch {record.epoch}: training {_losses(record)}{validation}")
                    case records.CheckpointSaved():
                        saved = record.iteration
                    case records.Finished() if first:
                        shared.say(f"The trained detector is in {record.path}.")
        except KeyboardInterrupt:
            trainer.close()
            if first:
                shared.say(f"Interrupted; --resume goes on after iteration {saved}.")
            return 130
    return 0


def _losses(record: EpochEnd | Validation) -> str:
    return f"{record.loss:.4f} (class {record.loss_cls:.4f}, box {record.loss_loc:.4f})"
