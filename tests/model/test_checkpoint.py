"""Checkpoints: a round trip, and everything that a file from elsewhere can have wrong."""

from __future__ import annotations

import json
import os
import struct
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fastrcnn.errors import CheckpointError
from fastrcnn.model import (
    FastRCNN,
    ModelConfig,
    Resize,
    checkpoint,
    compress,
    load_checkpoint,
    save_checkpoint,
)
from fastrcnn.model.backbone import BACKBONES
from tests.model.tiny import tiny_backbone, tiny_model

METADATA = {"recipe": {"lr": 0.001}, "metrics": {"map_area": 0.5, "ap": {"cat": None}}, "seed": 3}


@pytest.fixture(autouse=True)
def tiny_backbones(monkeypatch):
    """Checkpoints hold a backbone's name; here it builds a tiny one."""
    monkeypatch.setitem(BACKBONES, "vgg16", tiny_backbone)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, tiny_model(), METADATA)
    return path


def header_of(path) -> dict:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])["__metadata__"]


def rewrite(path, change_tensors=None, change_header=None) -> None:
    """Save the file again with its tensors or its description changed."""
    tensors = load_file(path)
    header = json.loads(header_of(path)["fastrcnn"])
    for change, value in ((change_tensors, tensors), (change_header, header)):
        if change is not None:
            change(value)
    save_file(tensors, path, metadata={"fastrcnn": json.dumps(header)})


def refused(path) -> str:
    """The one-sentence message that opening this file ends with."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert path.name in message
    assert message.endswith(".") and "\n" not in message
    assert len(message) < len(str(path)) + 250
    return message


class TestRoundTrip:
    def test_every_weight_and_setting_comes_back(self, tmp_path):
        model = tiny_model(pooling="walkthrough", divisor=10.0, resize=Resize(square=224))
        model.head.bbox_std.fill_(0.2)
        path = tmp_path / "new" / "model.safetensors"
        save_checkpoint(path, model, METADATA)
        loaded, metadata = load_checkpoint(path)
        assert loaded.config == model.config
        assert metadata == METADATA
        assert not loaded.training
        state = loaded.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
        assert os.listdir(path.parent) == [path.name]

    def test_half_precision_comes_back_as_single(self, tmp_path):
        model = tiny_model()
        with torch.no_grad():
            model.head.fc7.bias[0] = 1e6  # too large for half precision
        whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
        save_checkpoint(whole, model)
        save_checkpoint(half, model, half=True)
        assert half.stat().st_size < 0.7 * whole.stat().st_size
        loaded, metadata = load_checkpoint(half)
        assert metadata == {}
        for name, value in loaded.state_dict().items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-6)
        assert loaded.head.fc7.bias[0] == 1e6

    def test_a_compressed_network_comes_back_compressed(self, tmp_path):
        path = tmp_path / "model.safetensors"
        save_checkpoint(path, compress(tiny_model(), 6, 4))
        loaded, _ = load_checkpoint(path)
        assert (loaded.head.fc6.rank, loaded.head.fc7.rank) == (6, 4)

    def test_loaded_weights_can_learn_and_do_not_depend_on_the_file(self, saved):
        loaded, _ = load_checkpoint(saved)
        before = loaded.head.fc6.weight.clone()
        saved.write_bytes(bytes(saved.stat().st_size))
        assert torch.equal(loaded.head.fc6.weight, before)
        assert all(parameter.requires_grad for parameter in loaded.parameters())

    def test_vgg16_loads_in_two_seconds(self, tmp_path, monkeypatch):
        monkeypatch.undo()
        with torch.device("meta"):
            model = FastRCNN(ModelConfig(classes=("cat",), backbone="vgg16_bn", fc6=64, fc7=64))
        model = model.to_empty(device="cpu")
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data.fill_(0.5 if tensor.is_floating_point() else 1)
        path = tmp_path / "vgg16.safetensors"
        save_checkpoint(path, model, half=True)
        start = time.process_time()
        loaded, _ = load_checkpoint(path)
        assert time.process_time() - start < 2
        assert loaded.backbone.conv5_3[0].weight.dtype == torch.float32
        assert not loaded.backbone.conv1_1[1].training


class TestWhichFile:
    def test_the_environment_names_it(self, saved, monkeypatch):
        monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(saved))
        assert load_checkpoint()[1] == METADATA

    def test_without_a_name_it_is_the_shipped_one(self, saved, monkeypatch):
        monkeypatch.delenv("FASTRCNN_CHECKPOINT", raising=False)
        monkeypatch.setattr(checkpoint, "DEFAULT_CHECKPOINT", saved)
        assert load_checkpoint()[1] == METADATA

    def test_a_missing_file_is_refused(self, tmp_path):
        assert "There is no checkpoint file" in refused(tmp_path / "none.safetensors")

    def test_a_folder_is_refused(self, tmp_path):
        assert "There is no checkpoint file" in refused(tmp_path)


class TestSaving:
    def test_replaces_in_one_step(self, saved, monkeypatch):
        before = saved.read_bytes()

        def full_disk(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoint.os, "fsync", full_disk)
        with pytest.raises(CheckpointError, match="No space left"):
            save_checkpoint(saved, tiny_model(), {"seed": 4})
        assert saved.read_bytes() == before
        assert os.listdir(saved.parent) == [saved.name]

    def test_says_what_cannot_be_written(self, saved):
        with pytest.raises(CheckpointError, match="cannot be written"):
            save_checkpoint(saved / "below_a_file.safetensors", tiny_model())

    def test_refuses_metadata_that_is_not_json(self, saved):
        with pytest.raises(ValueError):
            save_checkpoint(saved, tiny_model(), {"map": float("nan")})
        assert load_checkpoint(saved)[1] == METADATA

    def test_says_its_format_in_the_header(self, saved):
        header = json.loads(header_of(saved)["fastrcnn"])
        assert header["format_version"] == 1
        assert header["model"]["classes"] == ["cat", "dog", "cow"]
        assert header["recipe"] == METADATA["recipe"]


class TestHostileFiles:
    def test_pickle_is_not_opened(self, tmp_path):
        path = tmp_path / "model.safetensors"
        opened = tmp_path / "opened"

        class Bomb:
            def __reduce__(self):
                return (os.mkdir, (str(opened),))

        for zipped in (True, False):
            torch.save({"weights": Bomb()}, path, _use_new_zipfile_serialization=zipped)
            assert "pickle" in refused(path)
        assert not opened.exists()

    def test_a_photograph_is_refused(self, tmp_path):
        path = tmp_path / "model.safetensors"
        Image.new("RGB", (64, 64), "red").save(path, "JPEG")
        refused(path)

    @pytest.mark.parametrize("content", [b"", b"\0", b"{}", bytes(8), bytes(4096)])
    def test_a_short_or_empty_file_is_refused(self, tmp_path, content):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        refused(path)

    @pytest.mark.parametrize("kept", [0.001, 0.2, 0.9, 0.9999])
    def test_a_truncated_file_is_refused(self, saved, kept):
        content = saved.read_bytes()
        saved.write_bytes(content[: int(len(content) * kept)])
        refused(saved)

    @pytest.mark.parametrize("length", [2**20, 2**40, 2**63, 2**64 - 1])
    def test_a_header_that_claims_to_be_huge_is_refused(self, saved, length):
        content = saved.read_bytes()
        saved.write_bytes(struct.pack("<Q", length) + content[8:])
        refused(saved)

    def test_a_huge_header_is_refused_in_seconds(self, saved):
        count = 50_000
        tensors = {f"t{number}": torch.zeros(0) for number in range(count)}
        save_file(tensors, saved, metadata={"fastrcnn": header_of(saved)["fastrcnn"]})
        assert saved.stat().st_size > 2_500_000
        start = time.process_time()
        assert "tensors are missing" in refused(saved)
        assert time.process_time() - start < 10

    def test_a_huge_description_is_read_or_refused(self, saved):
        rewrite(saved, change_header=lambda header: header.update(notes="x" * 3_000_000))
        assert len(load_checkpoint(saved)[1]["notes"]) == 3_000_000
        for model in ({"pooling": "x" * 3_000_000}, {"x" * 3_000_000: 1}, {"fc6": 10**4000}):
            rewrite(saved, change_header=lambda header, model=model: header["model"].update(model))
            refused(saved)

    @pytest.mark.parametrize(
        "change",
        [
            {"data_offsets": [0, 2**40]},
            {"data_offsets": [8, 4]},
            {"data_offsets": [-4, 0]},
            {"shape": [2**62, 2**62]},
            {"shape": [-1]},
            {"dtype": "OBJECT"},
            {"dtype": None},
        ],
    )
    def test_a_header_that_contradicts_itself_is_refused(self, saved, change):
        content = saved.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        header["head.fc7.bias"] |= change
        text = json.dumps(header).encode()
        saved.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
        refused(saved)

    def test_a_header_that_is_not_json_is_refused(self, saved):
        content = bytearray(saved.read_bytes())
        content[8:40] = b"[" * 32
        saved.write_bytes(content)
        refused(saved)

    def test_weights_of_something_else_are_refused(self, tmp_path):
        path = tmp_path / "model.safetensors"
        save_file({"weight": torch.ones(3)}, path)
        assert "does not describe" in refused(path)

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "3", "[]", "null"])
    def test_a_description_that_is_none_is_refused(self, saved, text):
        save_file(load_file(saved), saved, metadata={"fastrcnn": text})
        assert "description" in refused(saved)

    @pytest.mark.parametrize("version", [None, 0, 2, "1", [1]])
    def test_an_unknown_format_version_is_refused(self, saved, version):
        rewrite(saved, change_header=lambda header: header.update(format_version=version))
        assert "format version" in refused(saved)

    @pytest.mark.parametrize(
        "settings, word",
        [
            ({"fc8": 10}, "fc8"),
            ({"backbone": "resnet"}, "resnet"),
            ({"backbone": ["vgg16"]}, "backbone"),
            ({"classes": []}, "classes"),
            ({"classes": [["cat"]]}, "classes"),
            ({"fc6": 10**12}, "fc6"),
            ({"fc6_rank": 24}, "rank"),
            ({"fc7_rank": 10**12}, "rank"),
            ({"resize": {"shorter": -1}}, "shorter"),
            ({"resize": {"square": 1e9}}, "square"),
            ({"resize": {"shorter": None}}, "settings"),
            ({"resize": [600]}, "resize"),
            ({"self": 1}, "self"),
            ({"dropout": "half"}, "dropout"),
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, saved, settings, word, monkeypatch):
        if "backbone" in settings:
            monkeypatch.undo()
        rewrite(saved, change_header=lambda header: header["model"].update(settings))
        assert word in refused(saved)

    @pytest.mark.parametrize("model", [None, [], "vgg16", {}])
    def test_a_file_without_settings_is_refused(self, saved, model):
        rewrite(saved, change_header=lambda header: header.update(model=model))
        refused(saved)

    def test_a_missing_tensor_is_named(self, saved):
        rewrite(saved, lambda tensors: tensors.pop("head.fc7.bias"))
        assert "1 tensors are missing, head.fc7.bias" in refused(saved)

    def test_an_extra_tensor_with_an_endless_name_is_refused(self, saved):
        rewrite(saved, lambda tensors: tensors.update({"x" * 100_000: torch.ones(1)}))
        assert "no place in the network" in refused(saved)

    def test_an_extra_tensor_is_named(self, saved):
        rewrite(saved, lambda tensors: tensors.update({"head.fc8.bias": torch.ones(1)}))
        assert "head.fc8.bias" in refused(saved)

    def test_a_wrong_shape_is_named(self, saved):
        rewrite(saved, lambda tensors: tensors.update({"head.fc7.bias": torch.ones(17)}))
        assert "head.fc7.bias has shape [17], not [16]" in refused(saved)

    def test_settings_of_another_network_are_refused(self, saved):
        rewrite(saved, change_header=lambda header: header["model"].update(fc6=16384))
        assert "shape" in refused(saved)

    def test_integers_for_weights_are_refused(self, saved):
        whole = torch.ones(16, dtype=torch.int64)
        rewrite(saved, lambda tensors: tensors.update({"head.fc7.bias": whole}))
        assert "I64" in refused(saved)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_values_that_are_not_finite_are_refused(self, saved, value):
        rewrite(saved, lambda tensors: tensors["head.fc6.weight"][3, 5].fill_(value))
        assert "head.fc6.weight has values that are not finite" in refused(saved)
