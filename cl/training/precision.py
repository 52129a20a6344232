"""Which number format and which attention kernel training computes with."""

from __future__ import annotations

import contextlib
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PLAIN_UP_TO = 128
"""Tokens up to which the plain attention kernel is the fastest on a CPU, its backward pass above all."""

Precision = Literal["auto", "float32", "bfloat16"]


def native_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(setting: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which forward passes run; weights and optimiser stay float32."""
    wanted = setting == "bfloat16" or (setting == "auto" and native_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else contextlib.nullcontext()


def attention(length: int, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which gradients of rows of this length are computed fastest."""
    plain = device.type == "cpu" and length <= PLAIN_UP_TO
    return sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext()
