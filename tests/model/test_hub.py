"""Folders of the Hub's form: written and read again, and as huggingface_hub itself reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id

from fastrcnn import Detector
from fastrcnn.errors import CheckpointError
from fastrcnn.model import load_checkpoint
from fastrcnn.model.checkpoint import DEFAULT_CHECKPOINT
from fastrcnn.model.fast_rcnn import ModelConfig

ROOT = Path(__file__).parents[2]
FILES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def detector(tiny_checkpoint) -> Detector:
    return Detector.from_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    detector.save_pretrained(folder)
    return folder


def assert_same(one: Detector, other: Detector) -> None:
    assert one.model.config == other.model.config and one.metadata == other.metadata
    for mine, its in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_what_a_folder_holds_is_the_same_detector(detector, folder):
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert_same(Detector.from_pretrained(folder), detector)
    assert_same(Detector.from_pretrained(str(folder), "single"), detector)
    config = json.loads((folder / "config.json").read_text())
    assert ModelConfig(**config) == detector.model.config


def test_half_precision_takes_half_the_space(detector, folder, tmp_path):
    detector.save_pretrained(tmp_path, half=True)
    sizes = [(place / "model.safetensors").stat().st_size for place in (tmp_path, folder)]
    assert sizes[0] < 0.51 * sizes[1]
    assert_same(Detector.from_pretrained(tmp_path), detector)  # whose weights are rounded already


def test_the_card_is_one_that_the_hub_reads(detector, folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "fastrcnn" and card.data.pipeline_tag == "object-detection"
    assert all(name in card.text for name in detector.classes)
    assert 'Detector.from_pretrained("tiny")' in card.text


def test_a_card_that_somebody_wrote_stays(detector, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    detector.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    detector.save_pretrained(tmp_path, card=ROOT / "checkpoints" / "README.md")
    assert (tmp_path / "README.md").read_text().startswith("---\n")


def test_a_repository_is_read_as_huggingface_hub_keeps_it(detector, folder, tmp_path):
    """With the folders of its cache, as after a download."""
    kept = tmp_path / "models--somebody--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(folder, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    options = {"cache_dir": tmp_path, "local_files_only": True}
    assert_same(Detector.from_pretrained("somebody/tiny", **options), detector)
    assert_same(Detector.from_pretrained("somebody/tiny", revision=commit, **options), detector)


@pytest.mark.parametrize("name", ["somebody/nothing", "no/such/folder", "what is this?"])
def test_what_is_not_there_is_refused_in_one_sentence(name, tmp_path):
    with pytest.raises(CheckpointError, match=r"^[^\n]+ cannot be read from the Hub: .*\.$"):
        Detector.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)


def test_a_folder_without_a_checkpoint_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match=r"^There is no checkpoint file .*\.$"):
        Detector.from_pretrained(tmp_path)


def test_where_nothing_can_be_written_one_sentence_says_so(detector, photo, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be written"):
        detector.save_pretrained(photo)


def test_a_card_that_cannot_be_read_is_named_before_anything_is_written(detector, tmp_path):
    with pytest.raises(CheckpointError, match=r"nosuch\.md cannot be read: No such file.*\.$"):
        detector.save_pretrained(tmp_path / "new", card=tmp_path / "nosuch.md")
    assert not (tmp_path / "new").exists()


class Hub:
    """In the place of the Hub: keeps what is uploaded in a folder."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.private = place, None
        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", self.create)
        monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", self.upload)

    def create(self, name: str, *, private: bool | None, exist_ok: bool) -> None:
        validate_repo_id(name)
        self.private = private

    def upload(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
        shutil.copytree(folder_path, self.place / repo_id)
        return f"https://hub/{repo_id}: {commit_message}"


def test_what_is_pushed_is_what_is_read(detector, tmp_path, monkeypatch):
    hub = Hub(tmp_path, monkeypatch)
    commit = detector.push_to_hub("me/tiny", private=True, commit_message="First")
    assert commit == "https://hub/me/tiny: First" and hub.private is True
    pushed = tmp_path / "me" / "tiny"
    assert sorted(path.name for path in pushed.iterdir()) == FILES
    assert_same(Detector.from_pretrained(pushed), detector)
    assert 'Detector.from_pretrained("me/tiny")' in (pushed / "README.md").read_text()


def test_what_the_hub_refuses_is_told_in_one_sentence(detector, tmp_path, monkeypatch):
    Hub(tmp_path, monkeypatch)
    with pytest.raises(CheckpointError, match=r"^[^\n]+ cannot be written on the Hub: .*\.$"):
        detector.push_to_hub("no name/of a repository/")


def test_without_a_network_one_sentence_says_so(detector, monkeypatch):
    """With the error of huggingface_hub's HTTP library, which is not an OSError."""
    refused = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    assert not issubclass(refused, OSError)

    def create(*_, **__):
        raise refused("Connection refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create)
    with pytest.raises(CheckpointError, match=r"^me/tiny cannot .*: Connection refused\.$"):
        detector.push_to_hub("me/tiny")


def test_the_card_of_the_shipped_weights_has_their_figures():
    card = ModelCard.load(ROOT / "checkpoints" / "README.md")
    data = card.data
    assert data.library_name == "fastrcnn" and data.pipeline_tag == "object-detection"
    assert data.license == ["apache-2.0", "cc-by-4.0"] and data.datasets
    _, metadata = load_checkpoint(DEFAULT_CHECKPOINT)
    metrics = metadata["metrics"]
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    assert list(values.values()) == [metrics[k] for k in ("map_area", "map_11point", "map_coco")]
    # No figure of the official test set.
    assert {result.dataset_split for result in data.eval_results} == {"val"}
    assert all("held-out" in result.dataset_name for result in data.eval_results)
