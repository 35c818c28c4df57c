"""Devices by name, and the network as it would run on a GPU."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from fastrcnn.errors import RecipeError
from fastrcnn.runtime.device import choose
from fastrcnn.runtime.precision import autocast, has_bfloat16, is_bfloat16


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_auto_is_a_gpu_with_cuda_where_there_is_one(two_gpus):
    assert choose("auto") == torch.device("cuda")
    assert choose("cuda:1") == torch.device("cuda", 1)
    assert choose("cpu") == torch.device("cpu")


def test_auto_is_the_processor_elsewhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:2", "mps", ""])
def test_a_device_that_is_not_there_is_refused(two_gpus, monkeypatch, name):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError) as caught:
        choose(name)
    assert str(caught.value) == (
        f"There is no device {name!r} here; there are cpu, cuda, cuda:0, cuda:1."
    )


def test_bfloat16_is_for_the_device_to_say(two_gpus, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: seen.append(device) or nullcontext())
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation
    )
    assert has_bfloat16(torch.device("cuda:1")) and seen == [torch.device("cuda:1")]
    assert not has_bfloat16(torch.device("mps"))
    assert is_bfloat16("bfloat16", torch.device("mps"))
    assert not is_bfloat16("float32", torch.device("cuda"))


def test_torch_has_the_undocumented_names_that_are_used():
    """They say what a processor computes quickly; see precision.py and vgg.py."""
    cpu = torch.device("cpu")
    assert type(has_bfloat16(cpu)) is bool
    assert type(torch.cpu._is_avx512_bf16_supported()) is bool
    assert type(torch.cpu._is_amx_tile_supported()) is bool
    if torch.backends.nnpack.is_available():
        picture, weight, bias = torch.rand(1, 3, 48, 48), torch.rand(4, 3, 3, 3), torch.rand(4)
        found = torch._nnpack_spatial_convolution(picture, weight, bias, padding=1)
        expected = torch.nn.functional.conv2d(picture, weight, bias, padding=1)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_float32_is_float32_in_a_gpus_convolutions_and_the_setting_comes_back(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with autocast("float32", torch.device("cpu")):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
