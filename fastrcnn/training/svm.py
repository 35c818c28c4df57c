"""Linear SVMs in place of the softmax, as R-CNN and SPPnet have them (paper, section 5.4).

The network stays as it is. For every class an SVM learns, on the fc7 features, to tell the class's
objects from all else. There are far too many negatives to learn from at once, so the SVM goes
through the pictures and keeps only the hard ones: those that it does not reject clearly. The
numbers are those of R-CNN's and the paper's code.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from fastrcnn.boxes import iou
from fastrcnn.data import Annotation, Dataset
from fastrcnn.data.pictures import load_annotated
from fastrcnn.errors import MissingPackageError
from fastrcnn.model import FastRCNN
from fastrcnn.model.fast_rcnn import with_image_index
from fastrcnn.proposals.cache import ProposalSource

NEGATIVE_IOU = 0.3  # a proposal is a negative if its IoU with every object of the class is below
_C = 0.001
_POSITIVE_WEIGHT = 2
_INTERCEPT = 10.0  # the constant that stands for the bias among the features
_NORM = 20.0  # features are scaled to this mean length
_HARD = -1.0001  # a negative with at least this margin is learned from
_EASY = -1.001  # one that has less after a training is dropped again
_NEW = 2000  # hard negatives that are collected before the SVM learns again
# Of a class that no picture shows. Its score is then 2e-9.
_NEVER = -20.0


def train_svms(
    model: FastRCNN,
    dataset: Dataset,
    proposals: ProposalSource,
    max_proposals: int = 2000,
    progress: Callable[[Sequence[Annotation]], Iterable[Annotation]] = iter,
) -> FastRCNN:
    """A copy of `model` that scores each class by its own SVM. Everything else is the same.

    The SVMs' weights take the place of cls_score, so such a model is saved and used like any other.
    Objects marked difficult are not learned. progress: wraps each of the two passes over the
    pictures. Raises MissingPackageError if scikit-learn is not installed; ImageError and DataError
    as training does.
    """
    model = copy.deepcopy(model).eval()
    labels = range(1, len(dataset.classes) + 1)
    features, owners = [], []
    for annotation in progress(dataset.annotations):
        wanted = ~annotation.difficult
        features.append(fc7_features(model, annotation, annotation.boxes[wanted]))
        owners.append(annotation.labels[wanted])
    positives, owner = np.concatenate(features), np.concatenate(owners)
    scale = _NORM / max(float(np.linalg.norm(positives, axis=1).sum()) / max(len(owner), 1), 1e-6)
    svms = {label: Svm(positives[owner == label], scale) for label in labels}
    for annotation in progress(dataset.annotations):
        boxes = proposals.get(annotation)[:max_proposals]
        found = fc7_features(model, annotation, boxes)
        for label, svm in svms.items():
            svm.mine(found[_negatives(annotation, boxes, label)])
    with torch.no_grad():
        model.head.cls_score.weight.zero_()
        model.head.cls_score.bias.fill_(_NEVER)
        for label, svm in svms.items():
            if len(svm.positives):
                svm.learn()
                model.head.cls_score.weight[label] = torch.from_numpy(svm.weight)
                model.head.cls_score.bias[label] = svm.bias
    model.config = model.config.but(classifier="svm")
    return model


@torch.no_grad()
def fc7_features(model: FastRCNN, annotation: Annotation, boxes: np.ndarray) -> np.ndarray:
    """What fc7 gives for boxes (R, 4) in pixels of the picture: (R, D) float32."""
    image, scale = model.config.resize.resize(load_annotated(annotation))
    maps = model.backbone(model.backbone.preprocess(image))
    rois = torch.from_numpy(np.asarray(boxes, np.float32)).to(maps.device)
    rois = rois * torch.tensor(scale * 2, device=maps.device)
    return model.fc7(maps, with_image_index([rois], maps)).cpu().numpy()


def _negatives(annotation: Annotation, boxes: np.ndarray, label: int) -> np.ndarray:
    """Which boxes (R, 4) overlap no object of the class, difficult ones included: (R,) bool."""
    objects = torch.from_numpy(annotation.boxes[annotation.labels == label])
    if not len(objects):
        return np.ones(len(boxes), bool)
    return (iou(torch.from_numpy(boxes), objects) < NEGATIVE_IOU).all(dim=1).numpy()


class Svm:
    """The SVM of one class. It rejects nothing until it has learned for the first time.

    positives: (P, D) fc7 features of the class's objects. scale: what features are multiplied by.
    weight: (D,) float32, bias: they give the margin of an unscaled feature.
    """

    def __init__(self, positives: np.ndarray, scale: float) -> None:
        self.positives = positives
        self.negatives = np.zeros((0, positives.shape[1]), np.float32)
        self.weight = np.zeros(positives.shape[1], np.float32)
        self.bias = 0.0
        self._scale = scale
        self._new = 0

    def margins(self, features: np.ndarray) -> np.ndarray:
        """(N, D) -> (N,), above 0 on the side of the class."""
        return features @ self.weight + self.bias

    def mine(self, features: np.ndarray) -> None:
        """Keep the hard ones of some negatives, and learn again when there are enough new ones."""
        if not len(self.positives):
            return
        hard = features[self.margins(features) >= _HARD]
        self.negatives = np.concatenate([self.negatives, hard])
        self._new += len(hard)
        if self._new >= _NEW:
            self.learn()
            self.negatives = self.negatives[self.margins(self.negatives) >= _EASY]
            self._new = 0

    def learn(self) -> None:
        """Find the weights for the positives and all negatives at hand."""
        try:
            from sklearn.svm import LinearSVC
        except ImportError as error:
            raise MissingPackageError("Training SVMs", "scikit-learn") from error
        if not len(self.negatives):
            return
        machine = LinearSVC(
            C=_C,
            loss="hinge",
            class_weight={1: _POSITIVE_WEIGHT, 0: 1},
            intercept_scaling=_INTERCEPT,
            random_state=0,
            max_iter=10_000,
        )
        features = np.concatenate([self.positives, self.negatives]) * self._scale
        machine.fit(features, np.arange(len(features)) < len(self.positives))
        self.weight = (machine.coef_[0] * self._scale).astype(np.float32)
        self.bias = float(machine.intercept_[0])
