"""Coverage-guided fuzzing of everything that reads a stranger's file. Not run by pytest or CI.

    python -m venv fuzzing && fuzzing/bin/pip install -r requirements.txt atheris
    fuzzing/bin/python -m tests.fuzz.fuzz_readers pictures fuzzing/pictures -max_total_time=600

The first argument is a target: pictures, voc, coco or checkpoint. The second is the folder of the
corpus, filled with a few sound files to start from; further arguments are libFuzzer's. Whatever a
reader raises other than its own one-sentence error ends the run and leaves the input beside the
corpus as ``crash-...``. With ``-print_final_stats=1`` the last lines say how many inputs were run;
``corp:`` in those before is the size of the corpus.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

from fastrcnn.errors import CheckpointError, DataError, FastRCNNError, ImageError

# Each target imports what it reads with, so that only that is slowed by being watched.
# One sentence fits; the rest is the file's path.
_LONGEST = 400


def pictures(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    with atheris.instrument_imports(include=["fastrcnn.images", "PIL"]):
        from PIL import Image

        from fastrcnn.images import FORMATS, load_image

    def target(content: bytes) -> None:
        picture = expect(ImageError, load_image, content)
        if picture is not None:
            assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3

    turned = Image.Exif()
    turned[0x0112] = 6
    seeds = []
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    for form in FORMATS:
        for mode in ("RGB", "L") if form == "JPEG" else ("RGB", "L", "P", "1"):
            stream = io.BytesIO()
            image = Image.fromarray(pixels[..., :3]).convert(mode)
            exif = {} if form in ("BMP", "GIF") else {"exif": turned}
            image.save(stream, form, **exif)
            seeds.append(stream.getvalue())
    return target, seeds


def voc(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    with atheris.instrument_imports(include=["fastrcnn.data.voc", "xml"]):
        from fastrcnn.data import read_voc

    for name in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    (folder / "ImageSets/Main/all.txt").write_text("a\n")
    (folder / "JPEGImages/a.jpg").touch()

    def target(content: bytes) -> None:
        (folder / "Annotations/a.xml").write_bytes(content)
        dataset = expect(DataError, read_voc, folder, "all")
        if dataset is not None:
            check_boxes(dataset)

    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>"
    text = (
        "<annotation><filename>a.jpg</filename><size><width>40</width><height>30</height></size>"
        f"<object><name>dog</name><difficult>0</difficult>{box}</object></annotation>"
    )
    return target, [text.encode(), b"<!DOCTYPE a><a/>", text.encode("utf-16")]


def coco(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    with atheris.instrument_imports(
        include=["fastrcnn.data.coco", "fastrcnn.data.json_fields", "json"]
    ):
        from fastrcnn.data import read_coco

    (folder / "images").mkdir()
    (folder / "images/a.jpg").touch()

    def target(content: bytes) -> None:
        (folder / "all.json").write_bytes(content)
        dataset = expect(DataError, read_coco, folder / "all.json")
        if dataset is not None:
            check_boxes(dataset)

    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "categories": [{"id": 2, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}],
    }
    return target, [json.dumps(document).encode()]


def checkpoint(folder: Path) -> tuple[Callable[[bytes], None], list[bytes]]:
    with atheris.instrument_imports(include=["fastrcnn.model.checkpoint", "safetensors"]):
        from fastrcnn.model import fast_rcnn, load_checkpoint, save_checkpoint
        from tests.model.tiny import TinyBackbone, tiny_model

    fast_rcnn.Backbone = TinyBackbone
    path = folder / "model.safetensors"
    save_checkpoint(path, tiny_model(fc6=2, fc7=2), {"seed": 1}, half=True)
    seed = path.read_bytes()

    def target(content: bytes) -> None:
        path.write_bytes(content)
        loaded = expect(CheckpointError, load_checkpoint, path)
        if loaded is not None:
            assert all(tensor.isfinite().all() for tensor in loaded[0].state_dict().values())

    return target, [seed, seed[: len(seed) // 2], b"\x80\x02}q\x00."]


def expect(error: type[FastRCNNError], read: Callable, *arguments: object) -> object:
    """What `read` gives, or None where it raises the one error that it may, in one sentence."""
    try:
        return read(*arguments)
    except error as raised:
        assert "\n" not in str(raised) and len(str(raised)) < _LONGEST, str(raised)
        return None


def check_boxes(dataset) -> None:
    for item in dataset:
        assert np.isfinite(item.boxes).all() and (item.boxes >= 0).all()
        assert (item.boxes[:, 2:] <= [item.width, item.height]).all()
        assert (item.boxes[:, :2] < item.boxes[:, 2:]).all()


def main() -> None:
    name, corpus, *options = sys.argv[1:]
    make = {"pictures": pictures, "voc": voc, "coco": coco, "checkpoint": checkpoint}[name]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        target, seeds = make(Path(folder))
        for index, seed in enumerate(seeds):
            (Path(corpus) / f"seed-{index}").write_bytes(seed)
        artifacts = f"-artifact_prefix={Path(corpus).parent}/"
        atheris.Setup([sys.argv[0], corpus, artifacts, *options], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
