"""What the page shows of a trace, as plain values for JSON. Nothing is computed twice.

R proposals, K classes with background at 0, C channels of an h x w map, S x S bins.
"""

from __future__ import annotations

import base64
import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fastrcnn.boxes import iou
from fastrcnn.data import Annotation
from fastrcnn.detector import Detector, Inspection, Trace
from fastrcnn.model import FastRCNN
from fastrcnn.model.svd import full_rank
from fastrcnn.postprocess import Decisions
from fastrcnn.proposals import SIMILARITIES, Hierarchy, Proposals, Segmentation

LONGEST_SHOWN = 1200  # pixels; a larger picture is shrunk, but boxes stay in its original pixels
_STRONGEST = 12  # channels in the strip
_FOUND_IOU = 0.5


def model(detector: Detector) -> dict:
    """The shape of a network, for all texts and views of the page.

    sees: the side of a map cell's receptive field, in pixels of the input. pool_size: bins a side.
    fc6, fc7: units of the hidden layers.
    ranks: of fc6 and fc7 as they are.
    """
    network = detector.model
    convolutions, sees, jump = 0, 1, 1
    for module in network.backbone.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            convolutions += isinstance(module, nn.Conv2d)
            size, stride = (
                side[0] if isinstance(side, tuple) else side
                for side in (module.kernel_size, module.stride)
            )
            if size == 1:  # it sees one cell; with a stride it is beside the others, in a ResNet
                continue
            sees += (size - 1) * jump
            jump *= stride
    return {
        "classes": list(detector.classes),
        "backbone": network.config.backbone,
        "convolutions": convolutions,
        "channels": network.backbone.channels,
        "stride": network.backbone.stride,
        "sees": sees,
        "pooling": network.roi_pool.pooling,
        "pool_size": network.roi_pool.size,
        "fc6": network.config.fc6,
        "fc7": network.config.fc7,
        "ranks": {name: full_rank(getattr(network.head, name)) for name in ("fc6", "fc7")},
        "trained": detector.metadata.get("iterations"),
        "taught": detector.metadata.get("new_class"),  # {"name", "pictures"}
    }


def picture(image: np.ndarray) -> dict:
    """The photograph for the browser: its own size, and its pixels as a JPEG in a data address."""
    height, width = image.shape[:2]
    return {"width": width, "height": height, "src": data_url(shrink(image), "JPEG", quality=88)}


def shrink(image: np.ndarray) -> np.ndarray:
    """The picture with no side above LONGEST_SHOWN."""
    height, width = image.shape[:2]
    scale = LONGEST_SHOWN / max(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def data_url(image: np.ndarray, kind: str, **options: Any) -> str:
    """An RGB picture as an address that holds the file itself; kind: "JPEG" or "PNG"."""
    file = BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def runs(segmentations: tuple[Segmentation, ...], proposals: Proposals | None) -> list[dict]:
    """The ways of grouping, in the order of `Proposals.hierarchies` if that is known already."""
    if proposals is not None and proposals.hierarchies:
        return [
            {
                "space": hierarchy.colour_space,
                "threshold": hierarchy.threshold,
                "strategy": hierarchy.strategy,
                "segments": len(hierarchy.merges) + 1,
            }
            for hierarchy in proposals.hierarchies
        ]
    return [
        {
            "space": start.colour_space,
            "threshold": start.threshold,
            "strategy": None,
            "segments": len(start.segments.sizes),
        }
        for start in segmentations
    ]


def segments(labels: np.ndarray) -> dict:
    """The starting segments: each pixel's number, as 16-bit (32-bit) integers, deflated."""
    height, width = labels.shape
    count = int(labels.max()) + 1
    bits = 16 if count <= 2**16 else 32
    packed = zlib.compress(labels.astype(f"<u{bits // 8}").tobytes(), 1)
    return {
        "width": width,
        "height": height,
        "count": count,
        "bits": bits,
        "labels": base64.b64encode(packed).decode(),
    }


def hierarchy(run: Hierarchy) -> dict:
    """The starting segments, and for each merge which regions it joined and why."""
    return segments(run.labels) | {
        "merges": run.merges.tolist(),
        "similarities": np.round(run.similarities, 4).tolist(),
        "names": list(SIMILARITIES.values()),
        "used": [letter in run.strategy for letter in SIMILARITIES],
        "boxes": np.round(run.boxes, 1).tolist(),
        "sizes": run.sizes.tolist(),
    }


def proposals(found: Proposals, count: int) -> dict:
    """The `count` best boxes in order, each with the run and the region that it came from."""
    return {
        "boxes": np.round(found.boxes[:count], 1).tolist(),
        "sources": found.sources[:count].tolist(),
    }


def scores(probabilities: Tensor, deltas: Tensor, regressed: Tensor) -> dict:
    """The head's outputs for one box: (K,), (K, 4), (K, 4)."""
    return {
        "probabilities": numbers(probabilities, 5),
        "deltas": numbers(deltas, 5),
        "regressed": numbers(regressed, 2),
    }


def activity(features: Tensor, height: int, width: int, model: FastRCNN) -> dict:
    """The mean of all channels, and a cell's size in pixels of the picture (height x width)."""
    rows, columns = features.shape[2:]
    input_height, input_width = model.config.resize.levels()[0].size(height, width)
    stride = model.roi_pool.stride
    return {
        "map": numbers(features[0].mean(dim=0), 3),
        "map_size": [columns, rows],
        "cell": [stride * width / input_width, stride * height / input_height],
    }


def inspection(seen: Inspection, trace: Trace, stride: int, channel: int | None) -> dict:
    """RoI pooling and the head of one box, and one channel of it cell by cell.

    channel: by default the channel with the largest pooled value.
    """
    channels, height, width = trace.features.shape[1:]
    largest = seen.pooled.flatten(1).amax(dim=1)
    listed = strongest(seen.pooled)
    if channel is None:
        channel = listed[0]
    # Pixels of the picture per cell of the map.
    cell = [stride / factor for factor in trace.scales[seen.level]]
    moved = None
    if seen.cells is not None:
        moved = numbers((seen.cells - seen.exact) * torch.tensor(cell * 2), 1)
    return {
        "pooling": seen.pooling,
        "box": numbers(seen.box, 2),
        "exact": numbers(seen.exact, 3),
        "cells": None if seen.cells is None else seen.cells.tolist(),
        "moved": moved,
        "bins": numbers(seen.bins, 3),
        "cell": cell,
        "map_size": [width, height],
        "channels": channels,
        "channel": channel,
        "map": numbers(trace.features[seen.level, channel], 3),
        "pooled": numbers(seen.pooled[channel], 3),
        "winners": None if seen.argmax is None else seen.argmax[channel].tolist(),
        "fc6": numbers(seen.fc6, 3),
        "fc7": numbers(seen.fc7, 3),
        "strongest": [
            {
                "channel": k,
                "largest": round(largest[k].item(), 2),
                "pooled": numbers(seen.pooled[k], 2),
            }
            for k in listed
        ],
    } | scores(seen.probabilities, seen.deltas, seen.regressed)


def strongest(pooled: Tensor) -> list[int]:
    """The channels of (C, S, S) with the largest values, largest first."""
    largest = pooled.flatten(1).amax(dim=1)
    return torch.argsort(largest, descending=True, stable=True)[:_STRONGEST].tolist()


def mosaic(seen: Inspection) -> dict:
    """All channels' pooled maps as bytes. 255 is the largest value of all."""
    largest = max(seen.pooled.max().item(), 1e-9)
    levels = (seen.pooled.clamp(min=0) * (255 / largest)).round().to(torch.uint8)
    packed = zlib.compress(levels.numpy().tobytes(), 1)
    return {
        "channels": len(levels),
        "size": levels.shape[1],
        "largest": round(largest, 3),
        "levels": base64.b64encode(packed).decode(),
    }


def decisions(made: Decisions) -> dict:
    """Every candidate that reached the score threshold and what became of it, column by column."""
    return {
        "proposals": made.proposals.tolist(),
        "labels": made.labels.tolist(),
        "scores": numbers(made.scores, 5),
        "boxes": numbers(made.boxes, 2),
        "kept": made.kept.tolist(),
        "suppressed_by": made.suppressed_by.tolist(),
        "overlaps": numbers(made.overlaps, 4),
        "votes": made.votes.tolist(),
        "voted": numbers(made.voted, 2),
    }


def truth(boxes: Tensor, truths: Tensor) -> list[dict]:
    """How well the ranked proposals (R, 4) cover each true box (G, 4).

    first: the rank, from 0, of the first proposal with IoU 0.5, or None. best, iou: the proposal
    with the largest overlap, and its IoU.
    """
    found = []
    for overlaps in iou(truths, boxes):
        hits = (overlaps >= _FOUND_IOU).nonzero().flatten()
        best = int(overlaps.argmax()) if len(overlaps) else None
        found.append(
            {
                "first": int(hits[0]) if len(hits) else None,
                "best": best,
                "iou": 0.0 if best is None else round(overlaps[best].item(), 4),
            }
        )
    return found


def objects(annotation: Annotation, classes: tuple[str, ...]) -> list[dict]:
    """The true objects of a picture, as ``{"label", "box", "difficult"}``."""
    return [
        {
            "label": classes[label - 1],
            "box": np.round(box.astype(float), 2).tolist(),
            "difficult": bool(difficult),
        }
        for box, label, difficult in zip(
            annotation.boxes, annotation.labels, annotation.difficult, strict=True
        )
    ]


def numbers(values: Tensor, digits: int) -> list:
    """A tensor as rounded plain numbers."""
    return np.round(values.double().numpy(), digits).tolist()


def significant(values: Tensor, digits: int = 4) -> Any:
    """A tensor as plain numbers of so many significant digits, or a scalar as one number."""
    rounded = [float(f"{value:.{digits}g}") for value in values.flatten().tolist()]
    return np.reshape(rounded, values.shape).tolist()
