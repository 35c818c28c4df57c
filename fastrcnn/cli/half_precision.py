"""`half-precision`: what computing in bfloat16 changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrcnn.cli import shared

if TYPE_CHECKING:
    import numpy as np

    from fastrcnn.benchmarks.half_precision import Rounding
    from fastrcnn.data import Dataset

_SHOWN = 0.5  # the command detect shows detections from this score on


def half_precision(
    data: shared.Data,
    split: shared.Split = "val",
    limit: shared.Limit = 200,
    skip_bad: shared.SkipBad = False,
    score_threshold: shared.ScoreThreshold = 0.01,
    json_file: shared.Json = None,
    checkpoint: shared.Checkpoint = None,
    device: shared.Device = "auto",
) -> None:
    """Measure what computing in bfloat16 changes.

    Runs a detector over annotated pictures in float32 and, on the same proposals, in bfloat16.
    Prints both mAPs, and by how much the scores of the detections move.
    """
    from fastrcnn.benchmarks.half_precision import compare_rounding
    from fastrcnn.model import load_checkpoint
    from fastrcnn.runtime.device import choose

    shared.check_target(json_file)
    dataset = shared.open_data(data, split, limit, skip_bad)
    model, _ = load_checkpoint(checkpoint)
    model.to(choose(device))
    comparing = shared.progress_of("comparing")
    found = compare_rounding(model, dataset, score_threshold, comparing)
    by_least = {least: found.moved[found.scores >= least] for least in (score_threshold, _SHOWN)}
    if json_file != "-":
        _print(dataset, found, by_least)
    shared.write_json(
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
        json_file,
    )


def _print(dataset: Dataset, found: Rounding, by_least: dict[float, np.ndarray]) -> None:
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
