"""The walk-through's detector, piece by piece as it is taught: the reference for our speed."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import vgg16_bn

from fastrcnn.boxes import decode
from fastrcnn.evaluation.recall import opencv_selective_search
from fastrcnn.model import walkthrough_roi_pool_reference
from fastrcnn.training.loss import multi_task_loss

SIDE = 224
CLASSES = 21
_SCORE, _NMS = 0.6, 0.3
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class WalkThrough(nn.Module):
    """VGG16-BN without its last pool, RoI pooling in a loop, a head of 4096. Random weights."""

    def __init__(self) -> None:
        super().__init__()
        network = vgg16_bn(weights=None)
        self.features = network.features[:-1]
        self.classifier = network.classifier[:-1]
        self.cls_score = nn.Linear(4096, CLASSES)
        self.bbox = nn.Linear(4096, 4 * CLASSES)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox.weight, std=0.001)

    def forward(self, images: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 224, 224), (R, 5) in its pixels -> scores (R, 21), deltas (R, 21, 4).

        As in the walk-through, no gradient reaches the convolutions.
        """
        with torch.no_grad():
            pooled = walkthrough_roi_pool_reference(self.features(images), rois)
        x = self.classifier(pooled.flatten(1))
        return self.cls_score(x), self.bbox(x).unflatten(1, (-1, 4))


def preprocess(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 RGB -> (1, 3, 224, 224). The aspect ratio is lost."""
    small = cv2.resize(image, (SIDE, SIDE)).astype(np.float32) / 255
    normal = (small - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
    return torch.from_numpy(normal.transpose(2, 0, 1)[None].copy())


@torch.no_grad()
def detect(network: WalkThrough, image: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
    """Label, score, box (xyxy) of each detection: OpenCV's proposals, a loop over the classes."""
    height, width = image.shape[:2]
    boxes = torch.from_numpy(opencv_selective_search(image)[:2000])
    scale = torch.tensor([SIDE / width, SIDE / height] * 2)
    rois = torch.cat([torch.zeros(len(boxes), 1), boxes * scale], dim=1)
    device = network.cls_score.weight.device
    scores, deltas = network(preprocess(image).to(device), rois.to(device))
    probabilities, deltas = scores.softmax(dim=1).cpu(), deltas.cpu()
    found = []
    for label in range(1, CLASSES):
        regressed = decode(boxes, deltas[:, label]).numpy()
        ours = probabilities[:, label].numpy()
        passing = np.flatnonzero(ours >= _SCORE)
        for index in numpy_nms(regressed[passing], ours[passing], _NMS):
            found.append((label, float(ours[passing[index]]), regressed[passing[index]]))
    return found


def numpy_nms(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    """The indices of the boxes (N, 4) that no better kept box overlaps by more than `limit`."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = scores.argsort()[::-1], []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[order, :2])
        other = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.clip(other - corner, 0, None).prod(axis=1)
        order = order[shared / (areas[best] + areas[order] - shared) <= limit]
    return kept


def training_step(
    network: WalkThrough,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    rois: Tensor,
    labels: Tensor,
    targets: Tensor,
) -> float:
    """One mini-batch, with the convolutions. Gives its loss."""
    optimizer.zero_grad()
    cls_score, bbox_pred = network(images, rois)
    loss = multi_task_loss(cls_score, bbox_pred, labels, targets)
    loss.total.backward()
    optimizer.step()
    return loss.total.item()
