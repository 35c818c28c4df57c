"""Prepares mini-batches in other processes, ahead of the network."""

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
    """Names a mini-batch to prepare: that of an iteration, or a validation picture."""

    number: int
    validation: bool = False


@dataclass(frozen=True)
class _Maker:
    """Makes the batch of a key in a worker. `share`: this process's slots of a mini-batch."""

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
            return error  # raised again by the reader; raised here, it would get a long traceback


def load(
    batches: MiniBatches,
    val: Dataset | None,
    keys: Iterable[Key],
    share: tuple[int, int] = (0, 1),
    workers: int = 0,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """The batch of each key, in order, prepared by so many processes; with 0, by this one.

    share: this process's rank and the number of processes that train together. Raises the same
    errors as `MiniBatches.batch`.
    """
    loader: DataLoader = DataLoader(
        _Maker(batches, val, share),  # type: ignore[arg-type]  # it needs no length
        sampler=keys,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=_start_worker,
        # A forked process would inherit locks held by threads that do not exist in it.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else it would draw from torch's global random numbers
    )
    for batch in loader:
        if isinstance(batch, FastRCNNError):
            raise batch
        yield batch


def _as_it_is(item: object) -> object:
    return item


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)  # the workers are the threads
