"""In what precision the network computes: bfloat16 where the processor does, else float32."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor computes in bfloat16; others imitate it, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def is_bfloat16(precision: str, device: torch.device) -> bool:
    """What one of PRECISIONS comes to on this device."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which matrix products and convolutions run in this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16(precision, device))
