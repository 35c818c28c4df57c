"""COCO JSON: ``images``, ``annotations`` with ``bbox`` [x, y, width, height], ``categories``."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from fastrcnn.data.dataset import Annotation, Dataset
from fastrcnn.data.json_fields import Field, read_json
from fastrcnn.data.pictures import OnBad, file_within, left_out
from fastrcnn.errors import DataError
from fastrcnn.images import MAX_PIXELS

# COCO's boxes come from polygons and are rounded, so they can stick out by a fraction of a pixel.
_OVERHANG = 1.0


def read_coco(
    json_path: str | Path, images_dir: str | Path | None = None, on_bad: OnBad | None = None
) -> Dataset:
    """The pictures of one COCO file in the order of the file, the classes in the order of ids.

    images_dir: the folder that each ``file_name`` starts from; by default the usual places around
    the JSON file are tried. Crowds (``iscrowd``) become difficult objects. Boxes are cut to the
    picture. Boxes without width or height are left out; COCO has a few.
    on_bad: is called for each picture that cannot be used, which is then left out, and for each
    object that belongs to no picture.
    Raises DataError, naming file and field, for a value that is missing or has the wrong type, an
    unknown id, a picture that does not exist or lies outside its folder, or a box outside its
    picture.
    """
    json_path = Path(json_path)
    document = read_json(json_path)
    names = _categories(document["categories"])
    labels = {category: label for label, category in enumerate(names, start=1)}

    images: dict[int, Field] = {}
    for image in document["images"]:
        with left_out(on_bad):
            image_id = image["id"].whole()
            if image_id in images:
                raise image["id"].error("an id that no other picture has")
            images[image_id] = image
    objects = defaultdict(list)
    for item in document["annotations"]:
        with left_out(on_bad):
            if item["image_id"].whole() not in images:
                raise item["image_id"].error("the id of one of the pictures")
            objects[item["image_id"].whole()].append(item)

    folder = Path(images_dir) if images_dir is not None else _find_images(json_path, images)
    annotations = []
    for image_id, image in images.items():
        with left_out(on_bad):
            annotations.append(_read_picture(image_id, image, objects[image_id], labels, folder))
    return Dataset(json_path.stem, tuple(names.values()), tuple(annotations), tuple(names))


def _categories(field: Field) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in field:
        if category["id"].whole() in names:
            raise category["id"].error("an id that no other category has")
        if category["name"].text() in names.values():
            raise category["name"].error("a name that no other category has")
        names[category["id"].whole()] = category["name"].text()
    return dict(sorted(names.items()))


def _find_images(json_path: Path, images: dict[int, Field]) -> Path:
    """The folder of the first picture with a name: beside the JSON file, or a usual COCO folder."""
    folder = json_path.parent
    split = json_path.stem.removeprefix("instances_")
    candidates = [folder / "images", folder / split]
    candidates += [
        folder.parent / split,
        folder.parent / "images" / split,
        folder.parent / "images",
    ]
    for image in images.values():
        # A name that cannot be used raises its error later, when the picture is read.
        with suppress(DataError, OSError):
            name = image["file_name"].text()
            for candidate in candidates:
                if (candidate / name).is_file():
                    return candidate
            break
    return folder


def _read_picture(
    image_id: int, image: Field, objects: list[Field], labels: dict[int, int], folder: Path
) -> Annotation:
    width, height = image["width"].whole(), image["height"].whole()
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_PIXELS:
            raise image[name].error(f"1 to {MAX_PIXELS:,} pixels")
    name = image["file_name"].text()
    path = file_within(folder, name, f"{image.path}: {image.place}.file_name")

    boxes, classes, difficult = [], [], []
    for item in objects:
        if item["category_id"].whole() not in labels:
            raise item["category_id"].error("the id of one of the categories")
        x1, y1, x2, y2 = _box(item["bbox"], width, height)
        if x1 < x2 and y1 < y2:
            boxes.append((x1, y1, x2, y2))
            classes.append(labels[item["category_id"].whole()])
            difficult.append("iscrowd" in item and _flag(item["iscrowd"]))
    return Annotation(
        image_id=str(image_id),
        path=path,
        width=width,
        height=height,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(classes, dtype=np.int64),
        difficult=np.array(difficult, dtype=bool),
    )


def _flag(field: Field) -> bool:
    if field.value not in (0, 1):
        raise field.error("0 or 1")
    return bool(field.value)


def _box(field: Field, width: int, height: int) -> tuple[float, float, float, float]:
    x, y, box_width, box_height = field.numbers(4)
    if box_width < 0 or box_height < 0:
        raise field.error("[x, y, width, height] with no negative size")
    if (
        min(x, y) < -_OVERHANG
        or x + box_width > width + _OVERHANG
        or y + box_height > height + _OVERHANG
    ):
        raise field.error(f"[x, y, width, height] inside the picture, {width} x {height}")
    return max(x, 0), max(y, 0), min(x + box_width, width), min(y + box_height, height)


def coco_image_ids(dataset: Dataset) -> dict[str, int]:
    """For each picture's id in the data set, its number in COCO results.

    If all ids are numbers, it is the id itself. That holds for COCO and for VOC's names (000005 is
    5, 2008_000008 is 2008000008). Otherwise it is the picture's place in the data set, from 1.
    """
    names = [annotation.image_id for annotation in dataset]
    digits = [name.replace("_", "") for name in names]
    if all(text.removeprefix("-").isdecimal() for text in digits):
        numbers = {name: int(text) for name, text in zip(names, digits, strict=True)}
        if len(set(numbers.values())) == len(names):
            return numbers
    return {name: place for place, name in enumerate(names, start=1)}
