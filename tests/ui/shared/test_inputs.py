import math
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from fastrcnn.errors import FastRCNNError, ImageError
from fastrcnn.images import load_image
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.shared import inputs
from tests.ui.conftest import assert_is_one_sentence

HUGE = pytest.param(10**400, id="huge")  # too large for a float
NO_NUMBERS = [None, "1", True, [1], {}, math.nan, math.inf, -math.inf, HUGE]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 30, 40], [1, 2, 30, 40]),
        ([0.5, 0.25, 159.5, 119.75], [0.5, 0.25, 159.5, 119.75]),
        ([-20, -1e9, 1e9, 500], [0, 0, 160, 120]),
        ([159, 119, 200, 200], [159, 119, 160, 120]),
        ([3, 4, 4, 5], [3, 4, 4, 5]),
    ],
)
def test_a_box_is_cut_to_the_picture(values, expected):
    box = inputs.box(values, 120, 160)
    assert box.dtype == torch.float32 and box.tolist() == expected


@pytest.mark.parametrize(
    "values",
    [
        *(None, "1, 2, 3, 4", 7, {}, [], [1, 2, 3], [1, 2, 3, 4, 5], [[1, 2, 30, 40]]),
        *([1, 2, 30, wrong] for wrong in NO_NUMBERS[:-1]),
        pytest.param([1, 2, 30, 10**400], id="huge"),
    ],
)
def test_what_is_not_four_numbers_is_no_box(values):
    with pytest.raises(FastRCNNError) as raised:
        inputs.box(values, 120, 160)
    assert_is_one_sentence(str(raised.value))


@pytest.mark.parametrize(
    "values",
    [
        [160, 0, 200, 50],  # right of it
        [0, -50, 50, 0],  # above it
        [159.5, 0, 200, 50],  # half a pixel on it
        [10, 10, 10.5, 50],
        [10, 10, 50, 10],
        [50, 50, 10, 10],
    ],
)
def test_a_box_needs_a_pixel_inside_the_picture(values):
    with pytest.raises(FastRCNNError, match="160 x 120") as raised:
        inputs.box(values, 120, 160)
    assert_is_one_sentence(str(raised.value))


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (11, 11), (3.0, 3), (-0.0, 0)])
def test_a_whole_number_is_an_int(value, expected):
    number = inputs.whole(value, "channel", 12)
    assert type(number) is int and number == expected


@pytest.mark.parametrize("value", [*NO_NUMBERS, -1, 12, 1.5, 1e300])
def test_other_values_are_no_whole_number(value):
    with pytest.raises(FastRCNNError, match=r"channel .* 0 to 11\.") as raised:
        inputs.whole(value, "channel", 12)
    assert_is_one_sentence(str(raised.value))


@pytest.mark.parametrize("value", [0, 1, 0.0, 0.3, 1.0])
def test_a_share_is_a_float(value):
    number = inputs.share(value, "score")
    assert type(number) is float and number == value


@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.001, 1.001, 2])
def test_other_values_are_no_share(value):
    with pytest.raises(FastRCNNError, match=r"score .* 0 to 1\.") as raised:
        inputs.share(value, "score")
    assert_is_one_sentence(str(raised.value))


@pytest.fixture
def sent(photo) -> Iterator[Path]:
    """A photograph as if it had been sent to the page."""
    uploads.prepare()
    path = uploads.new_folder() / "image.png"
    path.write_bytes(photo.read_bytes())
    yield path
    shutil.rmtree(path.parent)


def test_a_photograph_is_read_under_the_name_its_owner_gave(sent, photo):
    file = {"path": str(sent), "orig_name": "cat.png", "meta": {"_type": "gradio.FileData"}}
    for asked_for, expected in ((file, "cat.png"), ({"path": str(sent)}, "image.png")):
        name, image = inputs.photograph(asked_for, Limits())
        assert name == expected and (image == load_image(photo)).all()
    sent.unlink()
    with pytest.raises(FastRCNNError, match="No picture was given"):
        inputs.photograph(file, Limits())


def test_a_photograph_may_have_so_many_pixels(sent):
    file = {"path": str(sent)}
    inputs.photograph(file, Limits(pixels=160 * 120))
    with pytest.raises(ImageError, match="more than 19,199 pixels") as raised:
        inputs.photograph(file, Limits(pixels=160 * 120 - 1))
    assert_is_one_sentence(str(raised.value))


@pytest.mark.parametrize("content", [None, b"not a picture"])
def test_what_was_read_goes_soon_after(sent, content):
    if content:
        sent.write_bytes(content)
    with suppress(ImageError):
        inputs.photograph({"path": str(sent)}, Limits(file_seconds=600))
    uploads.sweep(600)
    assert sent.exists()  # a browser is still showing it
    age = time.time() - sent.stat().st_mtime
    assert 570 < age < 590
    uploads.sweep(age)
    assert not sent.exists()
    sent.touch()


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/hostname", "/dev/zero", "../../etc/hostname", "", None, "nosuch.png", 5, ["a"]),
        *("a\0b", "x" * 5000, ".", "/"),
    ],
)
def test_the_servers_own_files_are_not_read(path):
    uploads.prepare()
    inside = uploads.FILES / ".." / ".." / "etc" / "hostname"
    for file in (None, {}, "x", [], {"path": path}, {"path": str(inside)}):
        with pytest.raises(FastRCNNError, match="No picture was given"):
            inputs.photograph(file, Limits())


def test_a_link_is_not_followed(photo):
    uploads.prepare()
    link = uploads.new_folder() / "link.png"
    link.symlink_to(photo)
    with pytest.raises(FastRCNNError, match="No picture was given"):
        inputs.photograph({"path": str(link)}, Limits())
    shutil.rmtree(link.parent)
