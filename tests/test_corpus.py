"""The corpus of bad and odd pictures, through the reader and the command line."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fastrcnn.cli import main
from fastrcnn.detector import Detector
from fastrcnn.errors import ImageError
from fastrcnn.images import MAX_SCANS, load_image
from tests.corpus import Case, arrays, corpus, varied, write

# pytest puts its own warning filters in place of those that the module sets.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

ROOT = Path(__file__).parents[1]
# Room for a sentence; the path comes on top.
LONGEST = 250


def outcome(case: Case, source: object) -> str:
    """Read a case, check what comes of it, and say in a word what that was."""
    try:
        picture = load_image(source)
    except ImageError as error:
        assert one_sentence(str(error), source), f"{case.name}: {error}"
        assert not isinstance(case.picture, np.ndarray), f"{case.name} was refused: {error}"
        return "refused"
    assert case.picture is not None, f"{case.name} was taken for a picture"
    check(picture, case)
    return "read"


def check(picture: np.ndarray, case: Case) -> None:
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3, case.name
    if isinstance(case.picture, np.ndarray):
        assert picture.shape == case.picture.shape, case.name
        # Every thousandth pixel of the largest will do.
        step = max(picture.shape[1] // 1000, 1)
        difference = picture[:, ::step].astype(int) - case.picture[:, ::step]
        assert np.abs(difference).mean() <= case.tolerance, case.name


def one_sentence(message: str, source: object = "") -> bool:
    return "\n" not in message and message[-1] == "." and len(message) < LONGEST + len(str(source))


def files_open() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_corpus_is_large_and_made_of_all_kinds():
    assert len(corpus()) >= 300
    refused = sum(case.picture is None for case in corpus())
    right = sum(isinstance(case.picture, np.ndarray) for case in corpus())
    assert refused >= 100
    assert right >= 100


def test_each_file_is_read_rightly_or_refused_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "files").mkdir()
    files = list(write(tmp_path / "files", corpus()))
    before = files_open()
    by_path = [outcome(case, path) for path, case in files]
    by_bytes = [outcome(case, case.content) for _, case in files]
    assert by_path == by_bytes
    gc.collect()
    assert files_open() == before
    assert os.listdir(tmp_path / "temporary") == []
    assert sorted(path.name for path, _ in files) == sorted(os.listdir(tmp_path / "files"))
    assert all(path.read_bytes() == case.content for path, case in files)


def test_reading_them_again_takes_no_more_memory():
    """Peak use of the process, after one round that warms everything up."""
    cases = [case for case in corpus() if len(case.content) < 1_000_000]
    for case in cases:
        outcome(case, case.content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        for case in cases:
            if "5000x10000" not in case.name:  # seconds each
                outcome(case, case.content)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 0.05 * before


@pytest.mark.parametrize(
    ("array", "expected"), [case[1:] for case in arrays()], ids=[case[0] for case in arrays()]
)
def test_arrays_are_read_rightly_or_refused_in_a_sentence(array, expected):
    if expected is None:
        with pytest.raises(ImageError) as caught:
            load_image(array)
        assert one_sentence(str(caught.value))
    else:
        assert np.abs(load_image(array).astype(int) - expected).max() <= 1


def test_endless_passes_are_refused_before_any_is_decoded(monkeypatch):
    (case,) = (case for case in corpus() if case.name == "passes.jpg")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(ImageError, match=f"more than {MAX_SCANS} passes"):
        load_image(case.content)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("run-length.bmp", "BMP with run-length coding"),
        ("large-tile.tif", "TIFF in tiles or a BigTIFF"),
        ("two-tiles.tif", "TIFF in tiles or a BigTIFF"),
        ("tile-of-kind-17.tif", "TIFF in tiles or a BigTIFF"),
        ("big.tif", "TIFF in tiles or a BigTIFF"),
    ],
)
def test_a_small_picture_that_unpacks_to_a_large_one_is_refused_before_it_does(
    name, what, monkeypatch
):
    (case,) = (case for case in corpus() if case.name == name)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", None)
    with pytest.raises(ImageError, match=f"The file is a {what}; save it as an ordinary one"):
        load_image(case.content)


# The command line


def small(case: Case) -> bool:
    """Whether a detection takes next to no time, for a run over all of them."""
    return not isinstance(case.picture, np.ndarray) or max(case.picture.shape) < 1000


@pytest.mark.system
def test_proposals_of_each_kind_of_file_on_the_command_line(tmp_path, monkeypatch, capfd):
    """`proposals`, with the search itself left out: it never sees a picture that is none."""
    seen = []

    class Found:
        boxes = np.array([[0, 0, 1, 1]], np.float32)

    monkeypatch.setattr(
        "fastrcnn.proposals.selective_search", lambda image, *_, **__: seen.append(image) or Found
    )
    for path, case in write(tmp_path, varied()):
        seen.clear()
        code = main(["proposals", str(path), "--json", "-"])
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err, case.name
        if code == 0:
            assert case.picture is not None, case.name
            check(seen[0], case)
            assert printed.out.startswith('{"image"')
        else:
            assert code == 1, case.name
            assert not isinstance(case.picture, np.ndarray), case.name
            assert printed.out == "" and seen == []
            errors = [line for line in printed.err.splitlines() if not line.startswith("TIFF")]
            assert len(errors) == 1, printed.err
            assert errors[0].startswith("error: ") and one_sentence(errors[0], path)
    assert sorted(os.listdir(tmp_path)) == sorted(case.name for case in varied())


@pytest.mark.system
def test_detect_reports_the_bad_and_does_the_others(tmp_path, monkeypatch, tiny_checkpoint, capfd):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    three = np.array([[0, 0, 4, 4], [1, 1, 9, 9], [2, 0, 3, 8]])
    load = Detector.from_checkpoint
    monkeypatch.setattr(
        Detector,
        "from_checkpoint",
        lambda path, **options: load(path, search=lambda picture: three, **options),
    )
    # Every sixth of them: the network takes most of the time, and the reader is the same.
    some = [(path, case) for path, case in write(tmp_path, corpus()) if small(case)][::6]
    cases = {str(path): case for path, case in some}
    target = tmp_path.parent / f"{tmp_path.name}.json"
    assert main(["detect", *cases, "--json", str(target)]) == 1
    found = {record["image"] for record in json.loads(target.read_text())}
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(found) + len(errors) == len(cases)
    for path, case in cases.items():
        assert path in found or case.picture is None or case.picture is ..., case.name
        assert path not in found or case.picture is not None, case.name


@pytest.mark.system
def test_a_process_of_its_own_says_one_sentence_for_each_bad_file(tmp_path, tiny_checkpoint):
    names = ("cut-at-50.png", "bomb.zip", "page.html", "passes.jpg", "0x5.png", "bomb-65535.gif")
    cases = [case for case in corpus() if case.name in names]
    for case in cases:
        (tmp_path / case.name).write_bytes(case.content)
    run = subprocess.run(
        [sys.executable, "-m", "fastrcnn", "detect", *(tmp_path / case.name for case in cases)],
        cwd=ROOT,
        env={**os.environ, "FASTRCNN_CHECKPOINT": str(tiny_checkpoint)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == len(names)
    for case, line in zip(cases, run.stderr.splitlines(), strict=True):
        assert line.startswith(f"error: {tmp_path / case.name} ")
