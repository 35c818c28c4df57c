"""Some 450 bad or odd picture files, made here, with what each must come to.

Used on the reader, the command line and, through `write`, on anything else that takes files.
"""

from __future__ import annotations

import functools
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import EllipsisType
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from fastrcnn.images import FORMATS, MAX_PIXELS, MAX_SCANS

EXTENSIONS = {form: f".{form.lower()}" for form in FORMATS}


class Case(NamedTuple):
    """A file and what it must come to.

    name: of the file, with an extension. content: its bytes.
    picture: the (H, W, 3) picture that must come out, to within `tolerance` on average; None where
    it must be refused; ... where either is right, since what is damaged may still be a picture.
    """

    name: str
    content: bytes
    picture: np.ndarray | EllipsisType | None
    tolerance: float = 0.0


@functools.cache
def corpus() -> tuple[Case, ...]:
    """All of them, none with the name of another."""
    cases = [
        *_truncated(),
        *_flipped(),
        *_wrong_extensions(),
        *_no_pictures(),
        *_bombs(),
        *_sizes(),
        *_kinds(),
        *_animations(),
        *_rotations(),
        *_metadata(),
        *_polyglots(),
    ]
    assert len({case.name for case in cases}) == len(cases)
    return tuple(cases)


def varied() -> list[Case]:
    """The corpus for what only passes files on to the reader.

    Of the files cut short and those with flipped bits, which only the reader tells apart, there is
    every sixth. Of the two largest pictures that are read, which take a second each, there is one.
    """
    cases = corpus()
    alike = [case for case in cases if case.name.startswith(("cut-at-", "flipped-"))]
    left_out = {case.name for case in alike} - {case.name for case in alike[::6]}
    left_out.add(f"{MAX_PIXELS // 10_000}x10000{EXTENSIONS['TIFF']}")
    return [case for case in cases if case.name not in left_out]


def write(folder: Path, cases: Iterable[Case]) -> Iterator[tuple[Path, Case]]:
    """Each case as a file in `folder`."""
    for case in cases:
        path = folder / case.name
        path.write_bytes(case.content)
        yield path, case


def arrays() -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, array, and the picture that must come out or None."""
    plain = _photo()
    scaled = plain.astype(np.float64) / 255
    for bad in (np.nan, np.inf, -np.inf, -0.1, 1.1, 255.0):
        for dtype in (np.float16, np.float32, np.float64):
            spoilt = scaled.astype(dtype)
            spoilt[3, 5, 1] = bad
            yield f"{np.dtype(dtype)} with {bad}", spoilt, None
    for dtype in (np.float16, np.float32, np.float64):
        yield f"{np.dtype(dtype)}", scaled.astype(dtype), plain
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        yield f"{np.dtype(dtype)} below 0", np.full((4, 5), -1, dtype), None
    for dtype in (np.int16, np.uint32, np.uint64):
        yield f"{np.dtype(dtype)} above 255", np.full((4, 5), 256, dtype), None
    for dtype in (np.int16, np.uint16, np.int64):
        factor = 257 if dtype == np.uint16 else 1
        yield f"{np.dtype(dtype)} in range", plain.astype(dtype) * dtype(factor), plain
    for shape in ((), (5,), (0, 5), (5, 0, 3), (5, 5, 0), (5, 5, 5), (1, 5, 5, 3)):
        yield f"shape {shape}", np.zeros(shape, np.uint8), None
    for dtype in (object, complex, "U1", "M8[s]", [("r", "u1")]):
        yield f"{np.dtype(dtype)}", np.zeros((4, 4), dtype), None
    yield "too large", np.broadcast_to(np.uint8(0), (MAX_PIXELS // 1000 + 1, 1000)), None
    yield "reversed", plain[::-1, ::-1, ::-1], plain[::-1, ::-1, ::-1]


def encode(picture: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    """A file of this format; WebP without loss and JPEG with next to none unless told otherwise."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    if form == "WEBP":
        options.setdefault("lossless", True)
    if form == "JPEG":
        options = {"quality": 95, "subsampling": 0} | options
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def claiming(form: str, side: int) -> bytes:
    """A small file whose header says `side` x `side`."""
    small = encode(Image.new("L", (300, 300)), form)
    big, little = side.to_bytes(4, "big"), side.to_bytes(4, "little")
    if form == "PNG":
        return small[:8] + _chunk(b"IHDR", big * 2 + small[24:29]) + small[33:]
    if form == "GIF":
        return small[:6] + little[:2] * 2 + small[10:]
    if form == "BMP":
        return small[:18] + little * 2 + small[26:]
    return small.replace((300).to_bytes(4, "little"), little)


def run_length(width: int, commands: bytes) -> bytes:
    """A BMP of one row with run-length coding."""
    header = struct.pack("<IiiHHIIiiII", 40, width, 1, 1, 8, 1, len(commands), 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    size = struct.pack("<IHHI", start + len(commands), 0, 0, start)
    return b"BM" + size + header + bytes(1024) + commands


def tiled(pixels: bytes, *sides: int, kind: int = 4) -> bytes:
    """A grey TIFF of 16 x 16 pixels in one square tile, whose side stands there as often as given.

    kind: of number, in which the sides are written.
    """
    packed = zlib.compress(pixels, 1)
    packed += bytes(len(packed) % 2)
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1)]
    tile = [(tag, side) for tag in (322, 323) for side in sides]
    entries = [
        *(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags),
        *(struct.pack("<HHII", tag, kind, 1, value) for tag, value in tile),
        *(struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((324, 8), (325, len(packed)))),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory


def _photo(height: int = 24, width: int = 36) -> np.ndarray:
    """Four quarters of plain colour with some noise: no two orientations look alike."""
    quarters = np.array([[(220, 30, 40), (30, 200, 60)], [(40, 50, 210), (235, 235, 235)]])
    rows = np.arange(height) * 2 // height
    columns = np.arange(width) * 2 // width
    noise = np.random.default_rng(0).integers(-9, 10, (height, width, 3))
    return (quarters[rows][:, columns] + noise).astype(np.uint8)


def _tolerance(form: str) -> float:
    return {"JPEG": 4.0, "GIF": 4.0}.get(form, 0.0)


def _truncated() -> Iterator[Case]:
    """Every format cut short at every twentieth."""
    for form in FORMATS:
        content = encode(_photo(), form)
        for percent in range(0, 100, 5):
            cut = content[: len(content) * percent // 100]
            # The end of a GIF or TIFF may be needed by no pixel.
            outcome = ... if percent > 60 and form in ("GIF", "TIFF") else None
            yield Case(f"cut-at-{percent}{EXTENSIONS[form]}", cut, outcome)


def _flipped() -> Iterator[Case]:
    """Every format with one bit turned over, then with thirty."""
    random = np.random.default_rng(1)
    for form in FORMATS:
        content = np.frombuffer(encode(_photo(), form), np.uint8)
        for number in range(16):
            bits = np.unpackbits(content)
            count = 1 if number < 8 else 30
            bits[random.choice(len(bits), count, replace=False)] ^= 1
            yield Case(f"flipped-{number}{EXTENSIONS[form]}", np.packbits(bits).tobytes(), ...)


def _wrong_extensions() -> Iterator[Case]:
    """What is in a file counts, not what it is called."""
    for form in FORMATS:
        content = encode(_photo(), form)
        for extension in (".jpg", ".png", ".txt", ".exe", ""):
            yield Case(f"{form}-called{extension}", content, _photo(), _tolerance(form))


def _no_pictures() -> Iterator[Case]:
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    entity = b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'
    for name, content in {
        "empty.png": b"",
        "one-byte.jpg": b"\0",
        "zeros.png": bytes(5000),
        "ones.gif": b"\xff" * 5000,
        "newlines.txt": b"\n" * 100,
        "noise.jpg": np.random.default_rng(2).bytes(5000),
        "drawing.svg": svg,
        "drawing-called.png": svg,
        "entity.svg": entity,
        "page.html": b"<!DOCTYPE html><script>alert(1)</script>",
        "page-called.jpg": b"<html><body onload=alert(1)></html>",
        "program.jpg": b"\x7fELF" + bytes(500),
        "script.png": b"#!/bin/sh\nrm -rf /\n",
        "letter.pdf": b"%PDF-1.7\n%%EOF",
        "pickle.png": b"\x80\x04cos\nsystem\n.",
        "sound.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        "film.mp4": b"\0\0\0\x18ftypisom" + bytes(200),
        "icon.ico": encode(Image.new("RGB", (32, 32)), "ICO"),
        "plain.ppm": encode(Image.new("RGB", (8, 8)), "PPM"),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "jpeg2000.jp2": encode(Image.new("RGB", (32, 32)), "JPEG2000"),
        "heading.png": b"\x89PNG\r\n\x1a\n",
        "heading.jpg": b"\xff\xd8\xff\xe0",
        "heading.gif": b"GIF89a",
        "heading.bmp": b"BM",
        "heading.tif": b"II*\0",
        "heading.webp": b"RIFF\x0c\0\0\0WEBPVP8 ",
    }.items():
        yield Case(name, content, None)


def _bombs() -> Iterator[Case]:
    """Small files that would take much memory or time."""
    nothing = io.BytesIO()
    with zipfile.ZipFile(nothing, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("picture.png", bytes(20_000_000))
    yield Case("bomb.zip", nothing.getvalue(), None)
    yield Case("zip-bomb-called.png", nothing.getvalue(), None)
    yield Case("bomb.png.gz", gzip.compress(bytes(20_000_000)), None)
    for side in (7072, 20_000, 65_535):  # just above MAX_PIXELS, above Pillow's limit, far above
        for form in ("PNG", "GIF", "BMP", "TIFF"):
            yield Case(f"bomb-{side}{EXTENSIONS[form]}", claiming(form, side), None)
    for side in (1_000_000, 2**31 - 1):
        for form in ("PNG", "BMP", "TIFF"):
            yield Case(f"bomb-{side}{EXTENSIONS[form]}", claiming(form, side), None)
    for width, height in ((0, 5), (5, 0), (0, 0)):
        header = struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
        content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IEND", b"")
        yield Case(f"{width}x{height}.png", content, None)
    # Each pass is a few bytes and goes over the whole picture.
    passes = encode(Image.new("L", (2000, 2000), 128), "JPEG", progressive=True)
    last = passes[passes.rfind(b"\xff\xc4") : -2]
    yield Case("passes.jpg", passes[:-2] + last * (MAX_SCANS + 1) + b"\xff\xd9", None)
    few = encode(_photo(), "JPEG", progressive=True)
    yield Case("few-passes.jpg", few, _photo(), 4.0)
    # The second command skips 255 rows, far beyond the only one there is.
    yield Case("run-length.bmp", run_length(400_000, b"\0\2\0\xff\0\1"), None)
    yield Case("tile.tif", tiled(bytes(256), 16), None)
    yield Case("large-tile.tif", tiled(bytes(8000 * 8000), 8000), None)
    yield Case("two-tiles.tif", tiled(bytes(8000 * 8000), 8000, 16), None)
    # Pillow passes over the second kind, a signed number of 64 bits; libtiff reads both.
    for kind in (16, 17):
        yield Case(f"tile-of-kind-{kind}.tif", tiled(bytes(256), 16, kind=kind), None)
    # BigTIFF has another directory.
    yield Case("big.tif", encode(_photo(), "TIFF", big_tiff=True), None)
    # Text, a colour profile and EXIF data that unpack to much more than the picture.
    packed = zlib.compress(bytes(80_000_000), 9)
    for kind, content in (
        (b"zTXt", b"Comment\0\0" + packed),
        (b"iTXt", b"Comment\0\1\0\0\0" + packed),
        (b"iCCP", b"profile\0\0" + packed),
    ):
        yield Case(f"unpacking-{kind.decode()}.png", _with_chunk(kind, content), ...)


def _sizes() -> Iterator[Case]:
    for form in FORMATS:
        for height, width in ((1, 1), (1, 2), (3, 1), (1, 20_000), (20_000, 1)):
            if form == "WEBP" and max(height, width) > 16_383:
                continue  # the format's own limit
            picture = np.full((height, width, 3), 200, np.uint8)
            yield Case(f"{height}x{width}{EXTENSIONS[form]}", encode(picture, form), picture, 1.0)
    just = np.broadcast_to(np.uint8(255), (MAX_PIXELS // 10_000, 10_000, 3))
    for height, picture in ((MAX_PIXELS // 10_000, just), (MAX_PIXELS // 10_000 + 1, None)):
        for form in ("PNG", "TIFF"):
            options = {"compression": "group4"} if form == "TIFF" else {}
            content = encode(Image.new("1", (10_000, height), 1), form, **options)
            yield Case(f"{height}x10000{EXTENSIONS[form]}", content, picture)


def _kinds() -> Iterator[Case]:
    """Ways to store pixels other than three times eight bits."""
    plain = _photo()
    grey = plain[..., 1]
    three = np.dstack([grey] * 3)
    deep = grey.astype(np.uint16) * 257
    alpha = np.full(grey.shape, 255, np.uint8)
    alpha[:12] = 0
    over = np.where(alpha[..., None] == 0, 255, plain).astype(np.uint8)
    palette = Image.fromarray(plain).quantize(8)
    eight = np.asarray(palette.convert("RGB"))
    holes = np.where(np.asarray(palette)[..., None] == 2, 255, eight).astype(np.uint8)
    cmyk = Image.fromarray(plain).convert("CMYK")
    bit = np.repeat(np.where(grey > 127, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    for name, content, picture, tolerance in (
        ("grey.png", encode(grey, "PNG"), three, 0),
        ("grey.jpg", encode(grey, "JPEG"), three, 3),
        ("grey.tiff", encode(grey, "TIFF"), three, 0),
        ("grey.bmp", encode(grey, "BMP"), three, 0),
        ("grey.gif", encode(grey, "GIF"), three, 0),
        ("bits.png", encode(Image.fromarray(bit[..., 0]).convert("1"), "PNG"), bit, 0),
        ("bits.tiff", encode(Image.fromarray(bit[..., 0]).convert("1"), "TIFF"), bit, 0),
        ("16-bit.png", encode(deep, "PNG"), three, 0),
        ("16-bit.tiff", encode(deep, "TIFF"), three, 0),
        ("16-bit-colour.png", _by_opencv(plain.astype(np.uint16) * 257), plain, 0),
        ("16-bit-colour-alpha.png", _by_opencv(_deep_rgba(plain, alpha)), over, 0),
        ("32-bit.tiff", encode(deep.astype(np.int32) * 9000, "TIFF"), None, 0),
        ("float.tiff", encode(grey.astype(np.float32) / 255, "TIFF"), three, 0),
        ("float-nan.tiff", encode(np.full((4, 4), np.nan, np.float32), "TIFF"), None, 0),
        ("float-inf.tiff", encode(np.full((4, 4), np.inf, np.float32), "TIFF"), None, 0),
        ("float-255.tiff", encode(grey.astype(np.float32), "TIFF"), None, 0),
        ("cmyk.jpg", encode(cmyk, "JPEG"), plain, 4),
        ("cmyk.tiff", encode(cmyk, "TIFF"), plain, 1),
        ("alpha.png", encode(np.dstack([plain, alpha]), "PNG"), over, 0),
        ("alpha.webp", encode(np.dstack([plain, alpha]), "WEBP"), over, 0),
        ("alpha.tiff", encode(np.dstack([plain, alpha]), "TIFF"), over, 0),
        ("palette.png", encode(palette, "PNG"), eight, 0),
        ("palette.gif", encode(palette, "GIF"), eight, 0),
        ("palette.bmp", encode(palette, "BMP"), eight, 0),
        ("palette.tiff", encode(palette, "TIFF"), eight, 0),
        ("palette-hole.png", encode(palette, "PNG", transparency=2), holes, 0),
        ("palette-hole.gif", encode(palette, "GIF", transparency=2), holes, 0),
        ("palette-bytes.png", encode(palette, "PNG", transparency=b"\xff\xff\0"), holes, 0),
        ("interlaced.gif", encode(palette, "GIF", interlace=True), eight, 0),
        ("lab.tiff", encode(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"), ..., 0),
        ("ycbcr.tiff", encode(Image.fromarray(plain).convert("YCbCr"), "TIFF"), ..., 0),
        *(
            (f"{kind}.tiff", encode(plain, "TIFF", compression=kind), plain, 0)
            for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
        ),
        ("jpeg.tiff", encode(_photo(64, 96), "TIFF", compression="jpeg"), _photo(64, 96), 12),
    ):
        yield Case(name, content, picture, tolerance)


def _animations() -> Iterator[Case]:
    first = Image.fromarray(_photo()).quantize(64)
    picture = np.asarray(first.convert("RGB"))
    others = [Image.new("RGB", first.size, colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        content = encode(first.convert("RGB"), form, save_all=True, append_images=others)
        yield Case(f"animated{EXTENSIONS[form]}", content, picture, _tolerance(form))
        yield Case(f"animated-cut{EXTENSIONS[form]}", content[:-40], ...)
    small = Image.new("RGB", (4, 4), "red")
    content = encode(Image.new("RGB", (9, 9), "white"), "GIF", save_all=True, append_images=[small])
    yield Case("uneven.gif", content, np.full((9, 9, 3), 255, np.uint8))


def _rotations() -> Iterator[Case]:
    upright = _photo(32, 48)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    for form in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation, picture in stored.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            content = encode(np.ascontiguousarray(picture), form, exif=exif)
            yield Case(f"exif-{orientation}{EXTENSIONS[form]}", content, upright, _tolerance(form))
    for orientation in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield Case(f"exif-{orientation}.png", encode(upright, "PNG", exif=exif), upright)


def _metadata() -> Iterator[Case]:
    """EXIF data and other riders that are huge, broken or misleading."""
    plain = _photo()
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    yield Case("huge-exif.jpg", encode(plain, "JPEG", exif=exif), plain, 4.0)
    exif[0x010E] = "x" * 8_000_000
    for form in ("PNG", "WEBP", "TIFF"):
        yield Case(f"huge-exif{EXTENSIONS[form]}", encode(plain, form, exif=exif), plain)
    for number, broken in enumerate(
        (b"", b"II", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff", bytes(2000))
    ):
        content = encode(plain, "JPEG", exif=b"Exif\0\0" + broken)
        yield Case(f"broken-exif-{number}.jpg", content, plain, 4.0)
        yield Case(f"broken-exif-{number}.png", _with_chunk(b"eXIf", broken), plain)
    loop = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    yield Case("circular-exif.jpg", encode(plain, "JPEG", exif=b"Exif\0\0" + loop), plain, 4.0)
    text = PngImagePlugin.PngInfo()
    for number in range(2000):
        text.add_text(f"key{number}", "\x1b[31m\n<script>")
    yield Case("much-text.png", encode(plain, "PNG", pnginfo=text), plain)
    yield Case("profile.png", encode(plain, "PNG", icc_profile=b"no profile"), plain)
    yield Case("profile.jpg", encode(plain, "JPEG", icc_profile=bytes(300_000)), plain, 4.0)
    yield Case("comment.jpg", encode(plain, "JPEG", comment=b"x" * 60_000), plain, 4.0)
    # A list of the file's pages that leads back to its own start.
    tiff = bytearray(encode(plain, "TIFF"))
    (start,) = struct.unpack("<I", tiff[4:8])
    (entries,) = struct.unpack("<H", tiff[start : start + 2])
    tiff[start + 2 + 12 * entries : start + 6 + 12 * entries] = struct.pack("<I", start)
    yield Case("circular.tiff", bytes(tiff), plain)


def _polyglots() -> Iterator[Case]:
    """Pictures that are something else besides."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../etc/passwd", "root")
    html = b"<html><script>alert(1)</script></html>"
    for form in FORMATS:
        content, tolerance = encode(_photo(), form), _tolerance(form)
        for name, tail in (("zip", archive.getvalue()), ("html", html), ("zeros", bytes(9000))):
            mixed = content + tail
            yield Case(f"picture-and-{name}{EXTENSIONS[form]}", mixed, _photo(), tolerance)
        yield Case(f"html-and-picture{EXTENSIONS[form]}", html + content, None)
    other = encode(np.zeros((9, 9, 3), np.uint8), "PNG")
    yield Case("jpeg-and-png.jpg", encode(_photo(), "JPEG") + other, _photo(), 4.0)


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + crc


def _with_chunk(kind: bytes, content: bytes) -> bytes:
    png = encode(_photo(), "PNG")
    return png[:33] + _chunk(kind, content) + png[33:]


def _by_opencv(deep: np.ndarray) -> bytes:
    """A 16-bit colour PNG, which Pillow reads but cannot write."""
    order = [2, 1, 0, 3][: deep.shape[2]]
    return cv2.imencode(".png", deep[..., order])[1].tobytes()


def _deep_rgba(plain: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([plain, alpha]).astype(np.uint16) * 257
