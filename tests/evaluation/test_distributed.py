"""``evaluate`` on two processes, which have the environment that torchrun gives them."""

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fastrcnn.data import Annotation, Dataset
from fastrcnn.detections import Detections
from fastrcnn.evaluation.average_precision import evaluate
from fastrcnn.runtime import distributed
from tests import forks

pytestmark = pytest.mark.system

SIDE = 12


def make_pictures(folder):
    """Five pictures with a white object each."""
    generator = np.random.default_rng(0)
    for number in range(5):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        x, y = generator.integers(0, 6, 2)
        picture[y : y + 5, x : x + 5] = 200 + number
        Image.fromarray(picture).save(folder / f"{number}.png")


def white_box(image):
    ys, xs = np.nonzero(image[:, :, 0])
    return np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)


def read_pictures(folder):
    return Dataset(
        "white things",
        ("thing",),
        tuple(
            Annotation(
                image_id=path.stem,
                path=path,
                width=SIDE,
                height=SIDE,
                boxes=white_box(np.array(Image.open(path))),
                labels=np.array([1]),
                difficult=np.array([False]),
            )
            for path in sorted(folder.glob("*.png"))
        ),
    )


def detector(image):
    """Right about every second picture."""
    level = int(image.max())
    boxes = white_box(image) if level % 2 else np.array([[0, 0, 1, 1]], np.float32)
    return Detections(
        boxes, np.array([level / 255], np.float32), np.array([1], np.int64), ("thing",)
    )


def run(folder):
    """What a process has at the end; the pictures that it took itself, too."""
    taken = []

    def progress(items):
        for item in items:
            taken.append(item.image_id)
            yield item

    evaluation, detections = evaluate(partial(map, detector), read_pictures(folder), progress)
    scores = evaluation.to_json_dict()
    assert scores.pop("seconds_per_image") > 0
    return {
        "scores": scores,
        "detections": {name: found.to_list() for name, found in detections.items()},
        "taken": taken,
    }


def write_result(folder):
    """One process of the group: its result as JSON, in a file of its own."""
    distributed.init()
    (folder / f"rank{distributed.rank()}.json").write_text(json.dumps(run(folder)))
    distributed.shutdown()


def test_two_processes_give_what_one_gives(tmp_path):
    make_pictures(tmp_path)
    alone = run(tmp_path)
    assert alone["taken"] == list(alone["detections"]) == list("01234")
    forks.run_as_group(write_result, tmp_path)
    for rank, taken in enumerate((["0", "2", "4"], ["1", "3"])):
        part = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert part.pop("taken") == taken
        assert list(part["detections"]) == list("01234")
        assert part == {key: alone[key] for key in ("scores", "detections")}
