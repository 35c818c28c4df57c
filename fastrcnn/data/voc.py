"""Pascal VOC folders: ``ImageSets/Main/SPLIT.txt``, ``Annotations/ID.xml``, ``JPEGImages/ID.jpg``,
and ``classes.txt`` for classes other than VOC's.

VOC counts pixels from 1 and includes the last one. Here boxes count from 0 and exclude the last
one, so (xmin, ymin, xmax, ymax) becomes (xmin - 1, ymin - 1, xmax, ymax).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from fastrcnn.data.dataset import Annotation, Dataset
from fastrcnn.data.pictures import OnBad, file_within, left_out
from fastrcnn.errors import DataError, reason, shown
from fastrcnn.images import MAX_PIXELS

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


def read_voc(
    root: str | Path,
    split: str,
    classes: Sequence[str] | None = None,
    on_bad: OnBad | None = None,
) -> Dataset:
    """Every picture that ``ImageSets/Main/SPLIT.txt`` under `root` lists, in its order.

    All annotations are read here, so that a bad one is found now and not hours into a run.
    classes: by default the lines of ``classes.txt`` under `root`; without it, VOC's twenty.
    on_bad: is called for each picture that cannot be used, which is then left out.
    Raises DataError, naming file and field, for a split, annotation or picture that is missing or
    lies outside its folder, XML that is broken or declares a document type, an unknown class, or a
    box outside its picture.
    """
    root = Path(root)
    splits = root / "ImageSets" / "Main"
    path = splits / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in splits.glob("*.txt"))) or "none"
        raise DataError(f"There is no split {split!r} in {splits}; found there: {known}.")
    # A split of one class, such as dog_val, has a second column: is the class in the picture?
    image_ids = [line.split()[0] for line in _lines(path)]
    classes = tuple(_classes(root) if classes is None else classes)
    labels = {name: label for label, name in enumerate(classes, start=1)}
    annotations = []
    for image_id in image_ids:
        with left_out(on_bad):
            annotations.append(_read_picture(root, image_id, labels))
    return Dataset(f"{root.resolve().name} {split}", classes, tuple(annotations))


def _classes(root: Path) -> Sequence[str]:
    path = root / "classes.txt"
    if not path.is_file():
        return VOC_CLASSES
    lines = _lines(path)
    if not lines or len(set(lines)) < len(lines):
        raise DataError(f"{path} must have the names of the classes, each on a line of its own.")
    return lines


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {reason(error)}.") from error
    return [line.strip() for line in lines if line.strip()]


def download_voc2007(root: str | Path, splits: Sequence[str] = ("trainval", "test")) -> Path:
    """Download VOC2007 into `root` (about 450 MB a part) and give the folder for `read_voc`.

    The file of trainval also holds the splits train and val. Raises DataError if the host cannot
    be reached or the download is damaged.
    """
    from torchvision.datasets import VOCDetection  # imported late, as in torchvision_ops.py

    for split in splits:
        try:
            VOCDetection(str(root), year="2007", image_set=split, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"VOC2007 {split} could not be downloaded to {root} ({error}); with internet "
                f"access, try again, or unpack the archive there yourself."
            ) from error
    return Path(root) / "VOCdevkit" / "VOC2007"


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type before its entities are read; these could expand without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type, which no annotation needs")


class _Element:
    """An XML element whose errors name the file and the field."""

    def __init__(self, path: Path, element: ElementTree.Element, place: str = "") -> None:
        self.path = path
        self.element = element
        self.place = place

    def child(self, name: str) -> _Element:
        found = self.element.find(name)
        if found is None:
            raise DataError(f"{self.path} has no <{self.place}{name}>.")
        return _Element(self.path, found, f"{self.place}{name}/")

    def text(self, name: str) -> str:
        return (self.child(name).element.text or "").strip()

    def number(self, name: str) -> float:
        text = self.text(name)
        try:
            return float(text)
        except ValueError:
            raise self.error(name, text, "a number") from None

    def error(self, name: str, value: object, wanted: str) -> DataError:
        return DataError(f"{self.path}: <{self.place}{name}> is {shown(value)}; wanted {wanted}.")


def _read_picture(root: Path, image_id: str, known: dict[str, int]) -> Annotation:
    path = file_within(root / "Annotations", f"{image_id}.xml", "The annotation")
    document = _Element(path, _parse(path))
    size = document.child("size")
    width, height = (_side(size, name) for name in ("width", "height"))

    boxes, labels, difficult = [], [], []
    for index, element in enumerate(document.element.findall("object"), start=1):
        item = _Element(path, element, f"object[{index}]/")
        name = item.text("name")
        if name not in known:
            named = ", ".join(known)
            raise item.error("name", name, f"one of {named}, or a classes.txt that has it")
        labels.append(known[name])
        boxes.append(_box(item.child("bndbox"), width, height))
        difficult.append(_flag(item, "difficult"))
    return Annotation(
        image_id=image_id,
        path=_picture(root, image_id, document),
        width=width,
        height=height,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        difficult=np.array(difficult, dtype=bool),
    )


def _parse(path: Path) -> ElementTree.Element:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_NoDoctype()))
    # LookupError and ValueError: an encoding that does not exist or does not fit. DataError, which
    # is a ValueError, comes from _NoDoctype.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path} is not a readable XML annotation: {reason(error)}.") from error


def _picture(root: Path, image_id: str, document: _Element) -> Path:
    folder, name = root / "JPEGImages", f"{image_id}.jpg"
    # VOC itself has only .jpg; other sets in its format name other files in <filename>.
    named = Path(document.element.findtext("filename", default="").strip()).name
    if named and not (folder / name).is_file():
        name = named
    return file_within(folder, name, f"{document.path}: its picture")


def _side(size: _Element, name: str) -> int:
    value = size.number(name)
    if not (1 <= value <= MAX_PIXELS and value.is_integer()):
        raise size.error(name, value, f"a whole number of pixels, 1 to {MAX_PIXELS:,}")
    return int(value)


def _flag(item: _Element, name: str) -> bool:
    value = item.element.findtext(name, default="0").strip()
    if value not in ("0", "1"):
        raise item.error(name, value, "0 or 1")
    return value == "1"


def _box(bndbox: _Element, width: int, height: int) -> tuple[float, float, float, float]:
    sides = []
    for low, high, limit in (("xmin", "xmax", width), ("ymin", "ymax", height)):
        first, last = bndbox.number(low), bndbox.number(high)
        if not 1 <= first <= limit:
            raise bndbox.error(low, first, f"inside the picture, 1 to {limit}")
        if not first <= last <= limit:
            raise bndbox.error(high, last, f"from {low} ({first:g}) to {limit}")
        sides.append((first - 1, last))
    (x1, x2), (y1, y2) = sides
    return x1, y1, x2, y2
