"""Mini-batches made ready ahead of the network, by processes of their own."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import cv2
import torch
from torch.utils.data import DataLoader

from fastrcnn.data import Dataset
from fastrcnn.errors import FastRCNNError
from fastrcnn.training.batches import Batch, MiniBatches


@dataclass(frozen=True)
class Key:
    """A mini-batch to make ready: the one of an iteration, or a validation picture's."""

    number: int
    validation: bool = False


@dataclass(frozen=True)
class _Maker:
    """What a worker does for a key; `share` are the slots of a mini-batch that this process has."""

    batches: MiniBatches
    val: Dataset | None
    share: tuple[int, int]

    def __getitem__(self, key: Key) -> Batch | FastRCNNError:
        try:
            if key.validation:
                assert self.val is not None
                return self.batches.validation_picture(self.val[key.number], key.number)
            return self.batches.batch(key.number, *self.share)
        except FastRCNNError as error:
            return error  # raised again where it is read; a worker would make a page of it


def load(
    batches: MiniBatches,
    val: Dataset | None,
    keys: Iterable[Key],
    share: tuple[int, int] = (0, 1),
    workers: int = 0,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """The batch of each key, in order, made ready by so many processes, or by this one with 0.

    share: rank and number of the processes that train together. Raises as `MiniBatches.batch`.
    """
    loader: DataLoader = DataLoader(
        _Maker(batches, val, share),  # type: ignore[arg-type]  # it needs no length
        sampler=keys,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=_start_worker,
        # A forked process would inherit the locks of threads that it does not have.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else it draws from everybody's random numbers
    )
    for batch in loader:
        if isinstance(batch, FastRCNNError):
            raise batch
        yield batch


def _as_it_is(item: object) -> object:
    return item


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)  # the workers are the threads
