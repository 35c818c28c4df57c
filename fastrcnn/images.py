"""Reads any picture a user gives -> one (H, W, 3) uint8 RGB array, or one clear error.

Writes such an array to a file too.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile

from fastrcnn.errors import ImageError, reason
from fastrcnn.runtime.atomic_write import atomic_write

MAX_PIXELS = 50_000_000
# A progressive JPEG is decoded in passes. Each pass costs only a few bytes in the file, but the
# decoder goes over the whole picture again. Cameras and editors write about ten passes. libtiff,
# which decodes JPEG too, stops at a hundred.
MAX_SCANS = 100
Source = str | Path | bytes | BinaryIO | np.ndarray | Image.Image
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

# Pillow warns about large pictures, but MAX_PIXELS refuses those at a lower size. It also warns
# about damage. Damage that reaches the pixels gives an ImageError here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_TILE_TAGS = {322, 323}  # the TIFF tags for the width and height of its tiles
_16_TO_8_BITS = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)


def load_image(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A file's path, its bytes, an open file, an array or a Pillow image -> (H, W, 3) uint8 RGB.

    Files may be JPEG, PNG, WebP, BMP, GIF or TIFF. If there are several frames, the first is used.
    The orientation in the EXIF data is applied. Grey, palette, CMYK and 16-bit pictures become
    8-bit RGB. Transparent parts are laid over white.

    Arrays are (H, W) or (H, W, C) with grey, grey and alpha, RGB, or RGB and alpha: uint16 over
    its whole range, other whole numbers 0 to 255, bool, or floating point 0 to 1.

    Raises ImageError for anything that is not a picture, or is damaged or cut short. These are
    refused before anything is decoded: more than `max_pixels` pixels, a JPEG of more than
    ``MAX_SCANS`` passes, a BMP with run-length coding, a TIFF in tiles and a BigTIFF.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, "The array", max_pixels)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "The picture", max_pixels)
    if isinstance(source, bytes):
        return _from_file(io.BytesIO(source), "The file", max_pixels)
    if not isinstance(source, (str, Path)):
        return _from_file(source, "The file", max_pixels)
    try:
        # A folder cannot be read, and a pipe or a device may never end.
        if not Path(source).is_file():
            raise ImageError(f"{source} is not a file; give the path of a picture.")
        with Path(source).open("rb") as file:
            return _from_file(file, str(source), max_pixels)
    except OSError as error:
        raise ImageError(f"{source} cannot be read: {reason(error)}.") from error


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Write a (H, W, 3) uint8 RGB picture. The ending of the file name decides the format.

    An existing file is replaced in one step. Raises ImageError for an unknown ending, and when the
    file cannot be written.
    """
    path = Path(path)
    form = Image.registered_extensions().get(path.suffix.lower())
    if form not in Image.SAVE:
        raise ImageError(f"{path} cannot be written; give it a name that ends in .png or .jpg.")
    try:
        with atomic_write(path) as part:
            Image.fromarray(image).save(part, form)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written: {reason(error)}.") from error


# A hostile or damaged file can make Pillow's decoders raise nearly any error. So `_from_file` and
# `_from_pillow` catch every Exception: the picture cannot be used in any case.


def _from_file(file: BinaryIO, name: str, max_pixels: int) -> np.ndarray:
    try:
        image = Image.open(file, formats=FORMATS)
        bomb = _bomb(image, file)
    except Image.DecompressionBombError as error:
        raise _too_large(name, max_pixels) from error
    except Exception as error:
        raise ImageError(
            f"{name} is not a picture that can be read; use JPEG, PNG, WebP, BMP, GIF or TIFF."
        ) from error
    if bomb:
        raise ImageError(f"{name} is {bomb}; save it as an ordinary one.")
    return _from_pillow(image, name, max_pixels)


def _bomb(image: Image.Image, file: BinaryIO) -> str | None:
    """Why decoding would cost far more than the picture's size suggests. None if it would not."""
    if image.format in ("JPEG", "MPO"):
        file.seek(0)
        # These two bytes mark the start of a pass. Coded data cannot contain them.
        if file.read().count(b"\xff\xda") > MAX_SCANS:
            return f"a JPEG of more than {MAX_SCANS} passes"
    # Pillow unpacks run-length coding in Python, and four bytes may skip 255 rows beyond the
    # picture's end.
    if isinstance(image, BmpImageFile) and any(t.codec_name == "bmp_rle" for t in image.tile):
        return "a BMP with run-length coding"
    # A tile is always decoded whole, even if only a small part of it is visible.
    if image.format == "TIFF" and _is_tiled_or_big(file):
        return "a TIFF in tiles or a BigTIFF"
    return None


def _is_tiled_or_big(file: BinaryIO) -> bool:
    """Whether a TIFF has tiles, or is a BigTIFF, whose directory has a different layout.

    Pillow cannot answer this. It skips some number types that libtiff, the decoder, does read.
    """
    file.seek(0)
    content = file.read()
    order = "<" if content.startswith(b"II") else ">"
    version, start = struct.unpack_from(f"{order}HI", content, 2)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    entries = content[start + 2 : start + 2 + 12 * count]
    tags = {tag for (tag,) in struct.iter_unpack(f"{order}H10x", entries)}
    return version != 42 or not tags.isdisjoint(_TILE_TAGS)


def _from_pillow(image: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    if image.width * image.height > max_pixels:
        raise _too_large(name, max_pixels)
    if 0 in image.size:
        raise ImageError(f"{name} is {image.width} x {image.height}; it needs at least 1 pixel.")
    try:
        image.load()
        image = _upright(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _from_array(_deep_pixels(image, name), name, max_pixels)
        return _opaque(image)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name} could not be decoded ({reason(error)}); use an intact JPEG, PNG, WebP, BMP, "
            f"GIF or TIFF."
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    """The picture, turned upright as its EXIF data says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the EXIF data is broken, but the pixels may be intact
        return image


def _deep_pixels(image: Image.Image, name: str) -> np.ndarray:
    """A grey picture of more than 8 bits -> (H, W) uint16 or float32."""
    array = np.asarray(image)
    if image.mode == "F":
        return array
    if array.min() < 0 or array.max() > 0xFFFF:
        raise ImageError(f"{name} has more than 16 bits per pixel; save it with 8 or 16.")
    return array.astype(np.uint16)


def _opaque(image: Image.Image) -> np.ndarray:
    """The picture as (H, W, 3) uint8 RGB, with its transparent parts laid over white."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray, name: str, max_pixels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ImageError(
            f"{name} has the shape {array.shape}; a picture is (height, width) or (height, width, "
            f"channels) with 1 to 4 channels."
        )
    if array.shape[0] * array.shape[1] > max_pixels:
        raise _too_large(name, max_pixels)
    array = _to_8_bits(array, name)
    if array.shape[2] in (2, 4):
        return _opaque(Image.fromarray(array))
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)), order="C")


def _to_8_bits(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return _16_TO_8_BITS[array]
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{name} holds {array.dtype}; a picture holds real numbers.")
    highest = 1 if array.dtype.kind in "bf" else 255
    # Resampling can overshoot 0 to 1 by a rounding error. The test is written with "not" so that
    # NaN is refused too.
    slack = 1e-3 if array.dtype.kind == "f" else 0
    if not (array.min() >= -slack and array.max() <= highest + slack):
        raise ImageError(
            f"{name} goes from {array.min()} to {array.max()}; {array.dtype} pictures go from 0 to "
            f"{highest}."
        )
    return np.rint(array.clip(0, highest) * (255 / highest)).astype(np.uint8)


def _too_large(name: str, max_pixels: int) -> ImageError:
    return ImageError(f"{name} has more than {max_pixels:,} pixels; reduce it first.")
