"""torchvision's operators without torchvision's Python code."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torchvision import ops

from fastrcnn.runtime import torchvision_ops


def test_nms_is_torchvisions():
    corners = torch.rand(200, 2, 2, generator=torch.Generator().manual_seed(0)) * 50
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    scores = torch.rand(200, generator=torch.Generator().manual_seed(1))
    for iou in (0.0, 0.3, 1.0):
        expected = ops.nms(boxes, scores, iou)
        assert torch.equal(torchvision_ops.nms(boxes, scores, iou), expected)
    assert torchvision_ops.nms(boxes[:0], scores[:0], 0.3).tolist() == []


@pytest.mark.system
def test_the_operators_are_found_without_importing_torchvision():
    code = (
        "import sys, torch\n"
        "from fastrcnn.runtime.torchvision_ops import nms\n"
        "assert nms(torch.eye(4)[:1], torch.ones(1), 0.3).tolist() == [0]\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
