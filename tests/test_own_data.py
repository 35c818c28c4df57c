"""docs/own-data.md from its first command to its last, on pictures in either form, but smaller."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from fastrcnn.cli import main
from fastrcnn.detector import Detector
from tests.conftest import draw_shapes

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
LINES = re.findall(r"^(?:FASTRCNN_CHECKPOINT=(\S+) )?python -m fastrcnn (.+)$", TEXT, re.MULTILINE)
SMALL = (
    *("--set", "shorter=32", "--set", "longer=64", "--set", "fc6=8", "--set", "fc7=8"),
    *("--set", "fc6_rank=4", "--set", "rois_per_batch=16", "--set", "iterations=2"),
    *("--set", "images_per_batch=2", "--set", "proposals_mode=single"),
)
BOXES = {"drake": (20, 20, 70, 80), "hen": (85, 40, 145, 100)}  # in what `draw_shapes` draws
SPLITS = {"train": ("0001", "0002"), "val": ("0003",)}


def write_coco(ducks: Path) -> None:
    numbers = {name: 7 * place for place, name in enumerate(BOXES, start=1)}
    (ducks / "images").mkdir(parents=True)
    for split, names in SPLITS.items():
        images, annotations = [], []
        for name in names:
            Image.fromarray(draw_shapes()).save(ducks / "images" / f"{name}.jpg")
            size = {"width": 160, "height": 120}
            images.append({"id": int(name), "file_name": f"{name}.jpg", **size})
            for kind, (x1, y1, x2, y2) in BOXES.items():
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": numbers[kind]}
                annotations.append({"id": len(annotations) + 1, "image_id": int(name), **box})
        categories = [{"id": number, "name": kind} for kind, number in numbers.items()]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (ducks / f"{split}.json").write_text(json.dumps(document))


def write_voc(ducks: Path) -> None:
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (ducks / folder).mkdir(parents=True)
    (ducks / "classes.txt").write_text("".join(f"{kind}\n" for kind in BOXES))
    objects = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for kind, (x1, y1, x2, y2) in BOXES.items()
    )
    size = "<size><width>160</width><height>120</height><depth>3</depth></size>"
    for split, names in SPLITS.items():
        (ducks / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            Image.fromarray(draw_shapes()).save(ducks / "JPEGImages" / f"{name}.jpg")
            (ducks / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
            )


@pytest.mark.parametrize("write", [write_coco, write_voc])
def test_ones_own_pictures_become_a_detector_of_their_classes(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # starting processes takes longer than the work
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    write(tmp_path / "ducks")
    assert [command.split()[0] for _, command in LINES] == [
        *("recall", "train", "train", "evaluate", "error-analysis", "detect")
    ]
    for checkpoint, command in LINES:
        if checkpoint:
            monkeypatch.setenv("FASTRCNN_CHECKPOINT", checkpoint)
        small = SMALL if command.startswith("train") else ()
        assert main([*command.split(), *small]) == 0, capsys.readouterr().err
    assert "mAP over 1 pictures" in capsys.readouterr().out
    assert Detector.from_checkpoint("runs/ducks/model.safetensors").classes == tuple(BOXES)
    assert (tmp_path / "out").exists()
