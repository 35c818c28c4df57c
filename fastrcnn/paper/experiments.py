"""Trains the detectors of a table and lets them detect. All that is done is kept and not repeated.

A folder for each training holds its run and, for the pictures that are done, what each variant
found. The folder's name ends in a digest of all that the training depends on.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastrcnn.data import Dataset
from fastrcnn.data.pictures import load_annotated
from fastrcnn.detections import Detections
from fastrcnn.detector import Detector
from fastrcnn.errors import DataError, reason
from fastrcnn.evaluation.variants import UNCHANGED, Found, Variant, detect_variants, rank
from fastrcnn.model import FastRCNN, compress, load_checkpoint, save_checkpoint
from fastrcnn.paper.tables import SVD, SVM, Training
from fastrcnn.proposals import MODES
from fastrcnn.proposals.cache import PreparedProposals, ProposalCache, ProposalSource
from fastrcnn.proposals.dense import DenseBoxes
from fastrcnn.training.caches import feature_cache, fill_caches
from fastrcnn.training.plots import read_metrics
from fastrcnn.training.recipe import Recipe
from fastrcnn.training.run_folder import identity
from fastrcnn.training.svm import train_svms
from fastrcnn.training.trainer import Trainer, build_model

Progress = Callable[[Iterable, str, int], Iterable]  # items, what is done, how many there are

# The paper cuts fc6 of 4096 to rank 1024, and fc7 to 256.
SVD_SHARES = {"fc6": 4, "fc7": 16}


@dataclass(frozen=True)
class Setting:
    """What all rows of a table share.

    recipe: the settings that a row's changes are made to. train: the first training set. joined:
    all of them. test: the pictures that mAP is measured on. weights: as for `build_backbone`.
    """

    recipe: Recipe
    train: Dataset
    joined: Dataset
    test: Dataset
    out: Path
    device: torch.device
    cache: Path | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One variant on all pictures. seconds: the network's time for a picture, the median."""

    detections: Mapping[str, Detections]
    seconds: float


class Experiments:
    """The trainings of a setting, and what their detectors find.

    progress: wraps what takes long. Raises the errors of `Trainer`.
    """

    def __init__(self, setting: Setting, progress: Progress) -> None:
        self.setting = setting
        self._progress = progress

    def recipe(self, training: Training) -> Recipe:
        """The settings of this training."""
        return self.setting.recipe.but(**training.changes)

    def folder(self, training: Training) -> Path:
        """Where it is kept."""
        text = json.dumps(self._made_by(training), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self.setting.out / f"{training.name.replace(' ', '-')}-{digest}"

    def train(self, training: Training) -> Path:
        """The trained detector's checkpoint. One that is there already is not trained again."""
        path = self.folder(training) / "model.safetensors"
        if path.exists():
            return path
        setting, recipe = self.setting, self.recipe(training)
        model = build_model(recipe, setting.train.classes, setting.weights)
        if training.start is not None:
            source, _ = load_checkpoint(self.train(training.start))
            model.load_state_dict(source.state_dict())
        model.to(setting.device)
        features = feature_cache(recipe, model, setting.cache)
        proposals = self.proposals(training)
        trainer = Trainer(
            recipe,
            model,
            setting.joined if training.joined else setting.train,
            out=path.parent,
            features=features,
            proposals=proposals,
            resume=True,
        )
        making = fill_caches(trainer, features, proposals)
        for _ in self._progress(making, "preparing", len(trainer.train)):
            pass
        for _ in self._progress(trainer, f"training: {training.name}", trainer.iterations):
            pass
        return path

    def seconds(self, training: Training) -> float:
        """How long the steps of this training took."""
        metrics = read_metrics(self.folder(training) / "metrics.jsonl")
        return sum(record["seconds"] for record in metrics if record["event"] == "step")

    def detect(self, training: Training, variants: Mapping[str, Variant]) -> dict[str, Outcome]:
        """What each variant of the trained detector finds in the test pictures."""
        path = self.train(training)
        model, _ = load_checkpoint(path)
        networks = {UNCHANGED: model}
        needed = {variant.network for variant in variants.values()}
        if SVD in needed:
            networks[SVD] = compress(
                model, *(max(rank(model.head, k) // n, 1) for k, n in SVD_SHARES.items())
            )
        if SVM in needed:
            networks[SVM] = self._svms(training, model, path.with_name("svm.safetensors"))
        detectors = {
            name: Detector(one.to(self.setting.device), precision=self.setting.recipe.precision)
            for name, one in networks.items()
        }
        searched = self.searched(training)
        return self.detect_with(detectors, variants, searched, path.parent, training.name)

    def detect_with(
        self,
        detectors: Mapping[str, Detector],
        variants: Mapping[str, Variant],
        proposals: ProposalSource,
        folder: Path,
        name: str,
    ) -> dict[str, Outcome]:
        """The same for detectors that are there already; what they find is kept in `folder`."""
        setting = self.setting
        for detector in detectors.values():
            if detector.classes != setting.test.classes:
                raise DataError(f"The classes of {setting.test.name} are not the detector's.")
        ways = {key: repr(variant) for key, variant in variants.items()}
        text = json.dumps([ways, setting.test.name, [item.image_id for item in setting.test]])
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        kept = _Kept(folder / f"found-{digest}.jsonl", setting.test.classes)
        left = [item for item in setting.test if item.image_id not in kept.found]
        for item in self._progress(left, f"detecting: {name}", len(left)):
            found = detect_variants(detectors, variants, load_annotated(item), proposals.get(item))
            kept.add(item.image_id, found)
        ids = [item.image_id for item in setting.test]
        return {
            key: Outcome(
                {image_id: kept.found[image_id][key].detections for image_id in ids},
                statistics.median(kept.found[image_id][key].seconds for image_id in ids),
            )
            for key in variants
        }

    def proposals(self, training: Training) -> PreparedProposals:
        """What it learns from."""
        return DenseBoxes() if training.dense else self.searched(training)

    def searched(self, training: Training) -> ProposalCache:
        """Selective search's boxes in the mode of this training."""
        return ProposalCache(MODES[self.recipe(training).proposals_mode], self.setting.cache)

    def _svms(self, training: Training, model: FastRCNN, path: Path) -> FastRCNN:
        if not path.exists():
            recipe, train = self.recipe(training), self.setting.train
            made = train_svms(
                model.to(self.setting.device),
                train,
                self.proposals(training),
                recipe.max_proposals,
                lambda items: self._progress(items, "training: SVMs", len(train)),
            )
            save_checkpoint(path, made)
        return load_checkpoint(path)[0]

    def _made_by(self, training: Training) -> dict[str, Any]:
        """All that the trained weights depend on, in JSON types."""
        setting = self.setting
        data = setting.joined if training.joined else setting.train
        start = None if training.start is None else self._made_by(training.start)
        return identity(self.recipe(training), data, None, {}) | {
            "start": start,
            "dense": training.dense,
            "weights": setting.weights,
        }


def weights_digest(model: FastRCNN) -> str:
    """12 hex digits that stand for the weights and settings of a model."""
    digest = hashlib.sha256(model.config.model_dump_json().encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


class _Kept:
    """What was found so far, a line of JSON for each picture. A line cut short is dropped."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        self.found: dict[str, dict[str, Found]] = {}
        self._path, self._classes = path, classes
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        for line in whole:
            record = json.loads(line)
            self.found[record["image"]] = {
                key: Found(self._detections(item["boxes"]), item["seconds"])
                for key, item in record["found"].items()
            }
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing(), path.open("ab") as file:
            file.truncate(sum(map(len, whole)))

    def add(self, image_id: str, found: Mapping[str, Found]) -> None:
        """Keep what the variants found in one more picture."""
        record = {key: _plain(item) for key, item in found.items()}
        line = json.dumps({"image": image_id, "found": record}) + "\n"
        with self._writing(), self._path.open("a", encoding="utf-8") as file:
            file.write(line)
        self.found[image_id] = dict(found)

    def _detections(self, boxes: list[list[float]]) -> Detections:
        rows = np.array(boxes, np.float64).reshape(-1, 6)
        return Detections(
            boxes=rows[:, 2:].astype(np.float32),
            scores=rows[:, 1].astype(np.float32),
            labels=rows[:, 0].astype(np.int64),
            classes=self._classes,
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {reason(error)}.") from error


def _plain(found: Found) -> dict:
    one = found.detections
    rows = np.column_stack([one.labels, one.scores, one.boxes])
    return {"seconds": found.seconds, "boxes": rows.tolist()}
