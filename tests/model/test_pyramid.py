import numpy as np
import pytest
import torch

from fastrcnn.boxes import flip_boxes
from fastrcnn.model.pyramid import nearest_level, put_together, share_out, to_input


def boxes_in(width: int, height: int, count: int) -> torch.Tensor:
    random = np.random.default_rng(count)
    corners = random.uniform(0, [width, height], (2, count, 2)).astype(np.float32)
    return torch.from_numpy(np.concatenate([corners.min(axis=0), corners.max(axis=0)], axis=1))


def test_a_box_goes_to_the_scale_where_it_is_most_like_224_by_224():
    boxes = torch.tensor([[0.0, 0, 224, 224], [0, 0, 112, 112], [10, 10, 66, 66], [0, 0, 900, 900]])
    assert nearest_level(boxes, [(1, 1), (2, 2), (4, 4)]).tolist() == [0, 1, 2, 0]
    assert nearest_level(boxes, [(3, 2)]).tolist() == [0, 0, 0, 0]


def test_the_nearest_scale_is_that_of_a_slow_loop():
    scales = [(s / 375, s / 374) for s in (480, 576, 688, 864, 1200)]
    boxes = boxes_in(500, 375, 300)
    expected = []
    for x1, y1, x2, y2 in boxes.double().tolist():
        areas = [(x2 - x1) * sx * (y2 - y1) * sy for sx, sy in scales]
        expected.append(min(range(5), key=lambda level: abs(areas[level] - 224 * 224)))
    assert nearest_level(boxes, scales).tolist() == expected
    assert len(set(expected)) == 5


@pytest.mark.parametrize("scales", [[(2.0, 1.5)], [(2.0, 2.0), (0.5, 0.5), (1.0, 1.0)]])
@pytest.mark.parametrize("mirror_width", [None, 400.0])
@pytest.mark.parametrize("count", [40, 1, 0])
def test_every_box_gets_its_own_answer_back(scales, mirror_width, count):
    boxes = boxes_in(400, 300, count)
    rois, places = share_out(boxes, scales, mirror_width)
    assert len(rois) == len(scales) * (1 if mirror_width is None else 2)
    # An answer that tells which RoI it is for, in pixels of the picture, and whether mirrored.
    answers = []
    for index, own in enumerate(rois):
        sx, sy = scales[index % len(scales)]
        answers.append(own / torch.tensor([sx, sy, sx, sy]))
    found = torch.cat(answers)
    deltas = torch.stack([torch.full((len(found), 4), 1.0), found], dim=1)
    probabilities, moved = put_together(found, deltas, places)
    expected = boxes
    if mirror_width is not None:
        assert (moved[:, 0] == torch.tensor([0, 1, 1, 1])).all()
        expected = (boxes + flip_boxes(boxes, mirror_width)) / 2
    torch.testing.assert_close(probabilities, expected)


def test_to_input_scales_each_side():
    assert to_input(torch.tensor([[1.0, 2, 3, 4]]), (2.0, 10.0)).tolist() == [[2, 20, 6, 40]]
