"""In which number format an encoder holds its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from cl.models.tunings import Tuning

Dtype = Literal["float32", "bfloat16"]


def hold_weights(encoder: nn.Module, tuning: Tuning, dtype: Dtype) -> None:
    """Let an encoder hold in a given format what its tuning does not train, in place; the rest is float32.

    A step of an optimiser is often smaller than what bfloat16 can add to a weight.
    """
    trained = {id(parameter) for parameter in tuning.moving(encoder)}
    for parameter in encoder.parameters():
        wanted = torch.bfloat16 if dtype == "bfloat16" and id(parameter) not in trained else torch.float32
        if parameter.is_floating_point() and parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)


def cast_parameters(encoder: nn.Module, dtype: torch.dtype) -> None:
    """Convert an encoder's parameters, in place, and leave its buffers alone.

    Buffers are constants, such as the frequencies of rotary positions, which bfloat16 would shift by up to a quarter of
    a radian after a hundred tokens.
    """
    for parameter in encoder.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
