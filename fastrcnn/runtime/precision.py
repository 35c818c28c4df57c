"""The precision in which the network computes: bfloat16 if the device has it, else float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16. Others imitate it, more slowly than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def is_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether one of PRECISIONS means bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """The context in which matrix products and convolutions run in this precision.

    Operations in float32 stay full float32 on a GPU too: by default PyTorch lets convolutions there
    round their inputs to 10 bits (TF32).
    """
    rounds = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16(precision, device)):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = rounds
