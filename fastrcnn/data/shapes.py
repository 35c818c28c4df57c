"""The built-in data set: pictures of shapes, drawn when they are needed, in any number.

Each picture has a handful of textured shapes that partly cover one another. The background is
cluttered and has things in it that belong to no class. The pictures are small, a few tens of
thousands of pixels, so that a detector learns them in two minutes of processor time (the recipe
``shapes``) and selective search takes a blink.

A box holds exactly the pixels that the whole shape covers by half or more, as if nothing lay over
it. At most a quarter of a shape is hidden, and its visible part spans at least four fifths of its
box. G objects a picture.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fastrcnn.errors import DataError
from fastrcnn.runtime.atomic_write import atomic_write

CLASSES = ("disc", "square", "triangle", "star", "cross", "heart")

# Raise this when a change in the code gives other pictures for the same seed.
_VERSION = 1
_MADE_BY = "fastrcnn shapes"

_WIDTHS, _HEIGHTS = (180, 240), (140, 180)
_MOST_OBJECTS = 6
_SIZES = (0.26, 0.56)  # the diameter of a shape's circle, as a share of the shorter side
_MARGIN = 2  # pixels between a shape and the picture's edge
_LEAST_VISIBLE = 0.75  # of a shape's pixels
_LEAST_BOX = 0.8  # the IoU of the visible part's box with the whole shape's box
_LEAST_CONTRAST = 45.0  # in Lab, between a shape and the picture under it
# Degrees, about evenly spread to the eye: it tells few greens apart and many reds.
_HUES = (350, 12, 30, 46, 85, 150, 185, 208, 232, 275, 322)
_TRIES = 30  # places tried for a shape before it is left out
_FINE = 4  # shapes are drawn this much larger and shrunk, which smooths their edges


def draw_shapes(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One picture: image (H, W, 3) uint8 RGB, boxes (G, 4) float32 xyxy, labels (G,) int64.

    The boxes are in pixels, x2 and y2 exclusive. A label is the place in CLASSES plus 1. Objects
    are in the order in which they were drawn. The same seed (0 or more) gives the same picture.
    """
    image, masks, labels = _draw(seed)
    boxes = np.array([_box(mask) for mask in masks], np.float32)
    return image, boxes, labels


def write_shapes(folder: str | Path, seed: int = 0, **splits: int) -> Path:
    """Write a data set for `open_dataset(folder, split)`; gives the folder.

    splits: the number of pictures of each split, such as ``train=600, val=100``. A split is
    ``NAME.json`` (COCO) and the pictures ``NAME/00000.png``, ... No two splits share a picture. The
    first pictures of a split do not depend on its length. A split that already exists is left as
    it is. The JSON is written last, so that the rest of a killed run is not taken for a data set.
    Raises DataError if the folder cannot be written or holds another data set under one of these
    names, if a count is below 1, or if the seed is below 0.
    """
    for _ in draw_shapes_set(Path(folder), seed, splits):
        pass
    return Path(folder)


def draw_shapes_set(folder: Path, seed: int, splits: dict[str, int]) -> Iterator[None]:
    """Do the work of `write_shapes` picture by picture, and yield after each one that was drawn.

    Several callers may draw into one folder: they write the same pictures.
    """
    if type(seed) is not int or seed < 0:
        raise DataError(f"The seed is {seed!r}; it must be a whole number, 0 or more.")
    for split, count in splits.items():
        if not split.isidentifier():
            raise DataError(f"{split!r} cannot be the name of a split; use letters and digits.")
        if type(count) is not int or count < 1:
            raise DataError(f"The split {split} cannot have {count!r} pictures; 1 is the least.")
    for split, count in splits.items():
        try:
            yield from _write_split(folder, split, count, seed)
        except OSError as error:
            raise DataError(
                f"The shapes cannot be written to {folder} ({error.strerror}); make room, or name "
                f"another folder."
            ) from error


def _write_split(folder: Path, split: str, count: int, seed: int) -> Iterator[None]:
    path = folder / f"{split}.json"
    info = {"made_by": _MADE_BY, "version": _VERSION, "seed": seed, "pictures": count}
    names = [f"{split}/{index:05}.png" for index in range(count)]
    if path.exists():
        found = _read_info(path)
        if found == info and all((folder / name).is_file() for name in names):
            return
        if found.get("made_by") != _MADE_BY:
            raise DataError(f"{path} is another data set's; name another folder for the shapes.")
        path.unlink(missing_ok=True)  # it does not describe the pictures that are written now
    (folder / split).mkdir(parents=True, exist_ok=True)
    images: list[dict] = []
    objects: list[dict] = []
    for index, name in enumerate(names):
        if path.exists():
            return  # another caller was faster
        image, boxes, labels = draw_shapes(_picture_seed(seed, split, index))
        with atomic_write(folder / name) as part:
            part.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
        height, width = image.shape[:2]
        images.append({"id": index, "file_name": name, "width": width, "height": height})
        for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels.tolist(), strict=True):
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": index,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
        yield
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)]
    document = {
        "info": info,
        "images": images,
        "annotations": objects,
        "categories": categories,
    }
    with atomic_write(path) as part:
        part.write_text(json.dumps(document), encoding="utf-8")


def _read_info(path: Path) -> dict:
    try:
        info = json.loads(path.read_bytes())["info"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def _picture_seed(seed: int, split: str, index: int) -> int:
    """A different seed for each picture of each split."""
    random = np.random.default_rng((seed, zlib.crc32(split.encode()), index))
    return int(random.integers(2**63))


# A picture


def _draw(seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Image, the whole silhouette of each shape (H, W) bool, and labels (G,)."""
    random = np.random.default_rng(seed)
    height, width = int(random.integers(*_HEIGHTS)), int(random.integers(*_WIDTHS))
    image = _background(height, width, random)
    wanted = int(random.integers(2, _MOST_OBJECTS + 1))
    masks: list[np.ndarray] = []
    visible: list[np.ndarray] = []
    labels: list[int] = []
    for _ in range(_TRIES * wanted):
        if len(masks) == wanted:
            break
        label = int(random.integers(1, len(CLASSES) + 1))
        alpha = _silhouette(CLASSES[label - 1], height, width, random)
        mask = alpha >= 0.5
        seen = [before & ~mask for before in visible]
        if all(_is_clear(part, whole) for part, whole in zip(seen, masks, strict=True)):
            image = _blend(image, _texture(image, mask, random), alpha)
            masks.append(mask)
            visible = [*seen, mask]
            labels.append(label)
    image += random.normal(0, random.uniform(1, 6), image.shape).astype(np.float32)
    return np.clip(image, 0, 255).round().astype(np.uint8), masks, np.array(labels, np.int64)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _is_clear(visible: np.ndarray, mask: np.ndarray) -> bool:
    """Whether enough of a shape can be seen."""
    if visible.sum() < _LEAST_VISIBLE * mask.sum():
        return False
    # The visible box lies inside the other, so the ratio of their areas is their IoU.
    (x1, y1, x2, y2), (left, top, right, bottom) = _box(visible), _box(mask)
    return (x2 - x1) * (y2 - y1) >= _LEAST_BOX * (right - left) * (bottom - top)


def _blend(image: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return image + alpha[..., None] * (over - image)


# Silhouettes: the corners of each shape in the unit circle, y downwards


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon, or with `inner` a star of that many points."""
    angles = np.arange(2 * corners) * math.pi / corners - math.pi / 2
    radii = np.where(np.arange(2 * corners) % 2, inner, 1.0)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return points if inner < 1 else points[::2]


def _cross_outline() -> np.ndarray:
    arm = 0.34
    quarter = np.array([(arm, -arm), (arm, -0.94), (-arm, -0.94)])
    turns = [_rotation(-quarter_turn * math.pi / 2) for quarter_turn in range(4)]
    return np.concatenate([quarter @ turn.T for turn in turns])


def _heart_outline() -> np.ndarray:
    t = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y + 2.5], axis=1) / 17


def _rotation(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


_OUTLINES = {
    "disc": 0.9 * _regular(60),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _regular(5, inner=0.45),
    "cross": _cross_outline(),
    "heart": _heart_outline(),
}


def _silhouette(name: str, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """(H, W) float32, how much of each pixel a shape of random size, turn and place covers."""
    radius = random.uniform(*_SIZES) * min(height, width) / 2
    points = radius * _OUTLINES[name] @ _rotation(_turn(name, random)).T
    low, high = points.min(axis=0), points.max(axis=0)
    limit = np.array([width, height]) - _MARGIN
    points += random.uniform(_MARGIN - low, limit - high)
    return _fill(points, height, width)


def _turn(name: str, random: np.random.Generator) -> float:
    # An upside-down heart is no longer a heart. The other shapes may be turned in any way.
    return random.uniform(-0.5, 0.5) if name == "heart" else random.uniform(0, 2 * math.pi)


def _fill(points: np.ndarray, height: int, width: int) -> np.ndarray:
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    cv2.fillPoly(fine, [np.rint(points * _FINE).astype(np.int32)], 255)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) / np.float32(255)


# Colours and textures


def _texture(image: np.ndarray, mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(H, W, 3): a patterned colour that stands out from the image under the mask."""
    height, width = mask.shape
    under = _lab(image[mask].mean(axis=0))
    colour = _vivid(random)
    for _ in range(20):
        if np.linalg.norm(_lab(colour) - under) >= _LEAST_CONTRAST:
            break
        colour = _vivid(random)
    darker = colour * random.uniform(0.72, 0.88)
    pattern = _PATTERNS[random.integers(len(_PATTERNS))](height, width, random)
    return colour + pattern[..., None] * (darker - colour)


def _vivid(random: np.random.Generator) -> np.ndarray:
    hue = random.choice(_HUES) + random.uniform(-8, 8)
    return _hsv(hue % 360, random.uniform(0.55, 0.9), random.uniform(0.7, 1.0))


def _muted(random: np.random.Generator) -> np.ndarray:
    return _hsv(random.uniform(0, 360), random.uniform(0.05, 0.35), random.uniform(0.25, 0.95))


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    pixel = np.array([[[hue, saturation, value]]], np.float32)
    return 255 * cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _lab(rgb: np.ndarray) -> np.ndarray:
    pixel = (np.clip(rgb, 0, 255) / 255).astype(np.float32).reshape(1, 1, 3)
    return cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0]


def _waves(height: int, width: int, period: float, random: np.random.Generator) -> np.ndarray:
    """Stripes of a random direction, -1 to 1."""
    angle, phase = random.uniform(0, math.pi), random.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period + phase)


def _ramp(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A slope of a random direction, 0 to 1."""
    angle = random.uniform(0, 2 * math.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slope = x * math.cos(angle) + y * math.sin(angle)
    return (slope - slope.min()) / np.ptp(slope)


def _clouds(height: int, width: int, cells: int, random: np.random.Generator) -> np.ndarray:
    """Smooth noise, 0 to 1."""
    coarse = random.random((cells, cells + 1), np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _stripes(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    return np.clip(2 * _waves(height, width, random.uniform(6, 12), random) + 0.5, 0, 1)


def _dots(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    period = random.uniform(8, 13)
    angle = random.uniform(0, math.pi / 2)
    y, x = np.mgrid[:height, :width].astype(np.float32) * (2 * math.pi / period)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    return np.clip(3 * (np.cos(u) + np.cos(v) - 0.8), 0, 1)


def _checks(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    period = random.uniform(10, 18)
    one, other = (_waves(height, width, period, random) for _ in range(2))
    return np.clip(4 * one * other + 0.5, 0, 1)


def _grain(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(random.random((height, width), np.float32), (0, 0), 0.8)


def _marble(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    return _clouds(height, width, 12, random)


_PATTERNS: tuple[Callable[[int, int, np.random.Generator], np.ndarray], ...] = (
    *(_ramp, _stripes, _dots, _checks, _grain, _marble),
)


# Backgrounds


def _background(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float32: two muted colours mixed by a pattern, and distractors on top."""
    one, other = _muted(random), _muted(random)
    kind = random.integers(3)
    if kind == 0:
        mix = _ramp(height, width, random)
    elif kind == 1:
        mix = _clouds(height, width, int(random.integers(3, 7)), random)
    else:
        mix = np.clip(3 * _waves(height, width, random.uniform(25, 60), random) + 0.5, 0, 1)
        other = one + 0.4 * (other - one)
    image = one + mix[..., None] * (other - one)
    image += 24 * (_clouds(height, width, 20, random) - 0.5)[..., None]
    for _ in range(random.integers(3, 8)):
        draw = _DISTRACTORS[random.integers(len(_DISTRACTORS))]
        alpha = np.float32(random.uniform(0.5, 0.9)) * draw(height, width, random)
        image = _blend(image, _muted(random), alpha)
    return image.astype(np.float32)


def _bar(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    length, thickness = random.uniform(30, 110), random.uniform(3, 9)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (length / 2, thickness / 2)
    centre = random.uniform((0, 0), (width, height))
    return _fill(corners @ _rotation(random.uniform(0, math.pi)).T + centre, height, width)


def _zigzag(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    steps = np.arange(int(random.integers(5, 9)))
    points = np.stack([steps * random.uniform(8, 14), (steps % 2) * random.uniform(10, 20)], axis=1)
    points = (points - points.mean(axis=0)) @ _rotation(random.uniform(0, math.pi)).T
    points += random.uniform((0, 0), (width, height))
    return _line(points, random.uniform(2, 4), height, width)


def _ring(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """The outline of a circle, or a part of it."""
    angles = np.linspace(0, random.uniform(0.6, 1) * 2 * math.pi, 50) + random.uniform(0, 6)
    points = random.uniform(10, 35) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points += random.uniform((0, 0), (width, height))
    return _line(points, random.uniform(2, 5), height, width)


def _speckles(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A swarm of small spots."""
    centre = random.uniform((0, 0), (width, height))
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    for x, y in random.normal(centre, 18, (12, 2)):
        place = (round(float(x) * _FINE), round(float(y) * _FINE))
        cv2.circle(fine, place, int(random.integers(4, 10)), 255, -1)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) / np.float32(255)


def _line(points: np.ndarray, thickness: float, height: int, width: int) -> np.ndarray:
    fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
    whole = [np.rint(points * _FINE).astype(np.int32)]
    cv2.polylines(fine, whole, False, 255, round(thickness * _FINE))
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) / np.float32(255)


_DISTRACTORS = (_bar, _zigzag, _ring, _speckles)
