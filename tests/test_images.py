import errno
import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from fastrcnn import images
from fastrcnn.errors import ImageError
from fastrcnn.images import load_image
from tests.corpus import claiming, encode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# pytest puts its own warning filters in place of those that the module sets.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
LOSSLESS = ("PNG", "WEBP", "BMP", "GIF", "TIFF")


def quadrants(height=8, width=12):
    """Red, green / blue, white: no two of the eight orientations look alike."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    picture[height // 2 :, width // 2 :] = WHITE
    return picture


def noise(height=40, width=60):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("form", LOSSLESS)
def test_lossless_formats_come_back_exactly(form):
    assert np.array_equal(load_image(encode(quadrants(), form)), quadrants())


def test_jpeg_comes_back_closely():
    loaded = load_image(encode(quadrants(64, 96), "JPEG"))
    assert np.abs(loaded.astype(int) - quadrants(64, 96)).mean() < 2


def test_every_kind_of_source_gives_the_same_picture(tmp_path):
    content = encode(quadrants(), "PNG")
    path = tmp_path / "naïve name.png"
    path.write_bytes(content)
    with path.open("rb") as file:
        sources = [path, str(path), content, io.BytesIO(content), file, quadrants()]
        sources.append(Image.fromarray(quadrants()))
        for source in sources:
            loaded = load_image(source)
            assert np.array_equal(loaded, quadrants())
            assert loaded.dtype == np.uint8
            assert loaded.flags.c_contiguous
            assert loaded.flags.writeable
        assert not file.closed


def test_the_extension_does_not_matter(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(quadrants(), "PNG"))
    assert np.array_equal(load_image(path), quadrants())


def test_broken_exif_is_ignored():
    content = encode(quadrants(), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken")
    assert np.array_equal(load_image(content), quadrants())


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(form):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    loaded = load_image(encode(deep, form))
    assert loaded[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_16_bit_grey_can_be_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    loaded = load_image(encode(np.array([[0, 65535]], np.uint16), "PNG", exif=exif))
    assert loaded[:, 0].tolist() == [[0] * 3, [255] * 3]


def test_16_bit_colour_is_scaled():
    deep = quadrants().astype(np.uint16) * 257
    # Pillow reads but cannot write it.
    content = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
    assert np.array_equal(load_image(content), quadrants())


def test_floating_point_tiff_goes_from_0_to_1():
    loaded = load_image(encode(np.array([[0, 0.5, 1]], np.float32), "TIFF"))
    assert loaded[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ImageError, match="0 to 1"):
        load_image(encode(np.array([[0, 300]], np.float32), "TIFF"))


def test_32_bit_whole_numbers_are_refused():
    with pytest.raises(ImageError, match="16 bits"):
        load_image(encode(np.array([[0, 70000]], np.int32), "TIFF"))


@pytest.mark.parametrize(("mode", "expected"), [("1", 255), ("L", 255)])
def test_grey_has_three_equal_channels(mode, expected):
    picture = Image.new(mode, (4, 3), expected)
    assert load_image(encode(picture, "PNG")).tolist() == [[[expected] * 3] * 4] * 3


def test_palette_colours_are_looked_up():
    picture = Image.fromarray(quadrants()).quantize(4)
    assert picture.mode == "P"
    assert np.array_equal(load_image(encode(picture, "PNG")), quadrants())


def test_cmyk_becomes_rgb():
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for form in ("JPEG", "TIFF"):
        red, green, blue = load_image(encode(picture, form))[8, 8]
        assert red > 245
        assert green < 10
        assert blue < 10


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_becomes_white(form):
    rgba = np.dstack([quadrants(), np.full((8, 12), 255, np.uint8)])
    rgba[0, 0] = (0, 0, 0, 0)
    rgba[0, 1] = (0, 0, 0, 51)  # one fifth black over white
    options = {"exact": True} if form == "WEBP" else {}
    loaded = load_image(encode(rgba, form, **options))
    assert loaded[0, 0].tolist() == [255, 255, 255]
    assert loaded[0, 1].tolist() == [204, 204, 204]
    assert np.array_equal(loaded[1:], quadrants()[1:])


def test_other_ways_to_be_transparent():
    grey = Image.fromarray(np.array([[[0, 0], [0, 255]]], np.uint8))
    assert grey.mode == "LA"
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.putpixel((1, 0), 1)
    key = Image.fromarray(np.array([[[9, 9, 9], [0, 0, 0]]], np.uint8))
    for content in (
        encode(grey, "PNG"),
        encode(palette, "PNG", transparency=0),
        encode(palette, "GIF", transparency=0),
        encode(key, "PNG", transparency=(9, 9, 9)),
    ):
        assert load_image(content).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_taken(form):
    others = [Image.new("RGB", (12, 8), colour) for colour in (BLUE, GREEN)]
    content = encode(quadrants(), form, save_all=True, append_images=others)
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 3
    assert np.array_equal(load_image(content), quadrants())


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7, 255]], np.uint8), [0, 7, 255]),
        (np.array([[[0], [7], [255]]], np.int64), [0, 7, 255]),
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0.0, 0.2, 1.0, 1.0000001, -1e-9]]), [0, 51, 255, 255, 0]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [0, 128, 255]),
        (np.array([[[0, 0], [0, 255]]], np.uint8), [255, 0]),
        (np.array([[[0, 0, 0, 0.0], [0, 0, 0, 1]]]), [255, 0]),
    ],
)
def test_arrays_of_every_type_become_rgb_bytes(array, expected):
    assert load_image(array).tolist() == [[[value] * 3 for value in expected]]


def test_an_array_is_copied():
    picture = quadrants()
    load_image(picture)[:] = 0
    assert np.array_equal(picture, quadrants())
    assert np.array_equal(load_image(picture[:, ::-1]), quadrants()[:, ::-1])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.5, np.nan]]),
        np.array([[0.5, np.inf]]),
        np.array([[0.0, 255.0]]),
        np.array([[0, 256]]),
        np.array([[-1, 0]]),
        np.array([["a", "b"]]),
        np.array([[1j]]),
        np.empty((0, 4, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.broadcast_to(np.uint8(0), (10_000, 5_001)),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError):
        load_image(array)


def test_every_format_of_the_error_message_can_be_read():
    assert features.check("webp")
    assert {"JPEG", *LOSSLESS} == set(images.FORMATS)


@pytest.mark.parametrize("form", ["JPEG", *LOSSLESS])
def test_a_truncated_file_is_an_error(form, tmp_path):
    content = encode(noise(), form)
    path = tmp_path / "half"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="half"):
        load_image(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\xff\xd8"],
)
def test_what_is_not_a_picture_is_an_error(content):
    with pytest.raises(ImageError, match="not a picture"):
        load_image(content)


def test_other_decoders_are_not_used():
    for form in ("PPM", "ICO", "TGA", "EPS", "JPEG2000"):
        with pytest.raises(ImageError, match="not a picture"):
            load_image(encode(quadrants(64, 64), form))


def test_pillow_images_are_checked_too():
    with pytest.raises(ImageError, match="at least 1 pixel"):
        load_image(Image.new("RGB", (0, 5)))
    with pytest.raises(ImageError, match="50,000,000 pixels"):
        load_image(Image.new("1", (10_000, 5_001)))
    truncated = Image.open(io.BytesIO(encode(noise(), "PNG")[:500]))
    with pytest.raises(ImageError, match="could not be decoded"):
        load_image(truncated)


@pytest.mark.parametrize("source", [None, 5, ["picture.png"], io.StringIO("text")])
def test_what_is_no_source_is_an_error(source):
    with pytest.raises(ImageError, match="The file is not a picture"):
        load_image(source)


def test_paths_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing.jpg", tmp_path / "pipe", "nul\0.jpg", "x" * 5000):
        with pytest.raises(ImageError):
            load_image(path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(encode(quadrants(), "PNG"))

    def refuse(self, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    # chmod would not do: root, as whom tests may run, reads every file.
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        load_image(path)


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("side", [8_000, 20_000])
def test_large_pictures_are_refused_before_they_are_decoded(form, side, monkeypatch, recwarn):
    """`side` squared is more than MAX_PIXELS; the second is more than Pillow itself opens."""

    def decoded(self):
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(ImageError, match="50,000,000 pixels"):
        load_image(claiming(form, side))


def test_the_limit_is_on_pixels():
    assert load_image(encode(quadrants(8, 12), "PNG"), 96).shape == (8, 12, 3)
    for larger in (encode(quadrants(8, 13), "PNG"), quadrants(8, 13)):
        with pytest.raises(ImageError, match="96 pixels"):
            load_image(larger, 96)


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(images.FORMATS),
    start=st.integers(0, 400),
    garbage=st.binary(min_size=1, max_size=30),
)
def test_damage_gives_a_picture_or_an_image_error(form, start, garbage):
    content = encode(quadrants(), form)
    start %= len(content)
    try:
        picture = load_image(content[:start] + garbage + content[start + len(garbage) :])
    except ImageError:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
