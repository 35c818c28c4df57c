"""The pictures that a visitor trains on, drawn shapes or those of a folder, and their cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from fastrcnn.data import Dataset, draw_shapes_set, open_dataset
from fastrcnn.errors import FastRCNNError
from fastrcnn.runtime.array_folder import default_cache
from fastrcnn.training.batches import split_validation
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.records import Progress
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.texts import text

# Prepares them step by step, then gives those to train on and the held-out ones.
Pictures: TypeAlias = Generator[Progress, None, tuple[Dataset, Dataset | None]]


# Of a file without another split, if the recipe holds none out.
_HELD_OUT_SHARE = 0.2


def held_out_count(pictures: int) -> int:
    """The number of held-out pictures for this many training pictures."""
    return max(min(pictures // 4, 100), 1)


def read_pictures(
    recipe: Recipe, count: int, folder: str, local: bool
) -> Callable[[Path], Pictures]:
    """A function from the cache's folder to the preparation of the pictures.

    count: how many to train on. folder: the visitor's own, or empty for drawn shapes. local:
    whether the visitor may name folders of this computer. Raises FastRCNNError.
    """
    if count < 1:
        raise FastRCNNError(text("server.one-picture"))
    if not folder:
        return lambda cache: _shapes(cache, count)
    if not local:
        raise FastRCNNError(text("server.only-shapes"))
    path = Path(folder).expanduser()
    train = open_dataset(path, "train")[:count]
    pair: tuple[Dataset, Dataset | None]
    if path.is_file():
        # The folder has no other split.
        pair = split_validation(train, recipe.validation_fraction or _HELD_OUT_SHARE, recipe.seed)
    else:
        val = open_dataset(path, "val")[: held_out_count(count)]
        pair = (train, None) if recipe.validation_fraction else (train, val)

    def ready() -> Pictures:
        yield Progress("pictures", 1, 1)
        return pair

    return lambda cache: ready()


def held_out_options(recipe: Recipe, count: int, folder: str) -> list[str]:
    """The options of the command `train` that hold out what `read_pictures` does."""
    if not folder:
        return ["--set", "validation_fraction=0"] if recipe.validation_fraction else []
    if recipe.validation_fraction:
        return []
    if Path(folder).expanduser().is_file():
        return ["--set", f"validation_fraction={_HELD_OUT_SHARE}"]
    return ["--val-limit", str(held_out_count(count))]


def _shapes(cache: Path, count: int) -> Pictures:
    # There is one folder for each power of two. So there are few folders, and none is rewritten
    # while somebody trains on it. A longer set begins with the pictures of a shorter one.
    size = 1 << (count - 1).bit_length()
    folder, splits = cache / f"shapes-{size}", {"train": size, "val": held_out_count(size)}
    for done, _ in enumerate(draw_shapes_set(folder, 0, splits), start=1):
        yield Progress("pictures", done, sum(splits.values()))
    train, val = (open_dataset(folder, split) for split in splits)
    return train[:count], val[: held_out_count(count)]


_TEMPORARY: list[TemporaryDirectory] = []


def writable_cache() -> Path:
    """The folder of pictures and proposals, or a temporary one if it cannot be written to."""
    folder = default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    if not _TEMPORARY:
        _TEMPORARY.append(TemporaryDirectory(prefix="cache-", dir=uploads.prepare()))
    return Path(_TEMPORARY[0].name)
