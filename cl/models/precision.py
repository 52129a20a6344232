"""Choose the number format and the kernels for training and serving."""

from __future__ import annotations

import contextlib
import logging
from typing import Literal

import torch

from cl.models.half_weights import HalfWeights
from cl.models.learner import Learner
from cl.models.number_formats import cast_parameters
from cl.models.rewrites import quantise_learner

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]


def native_bfloat16(device: torch.device) -> bool:
    """Return whether the device supports bfloat16 in hardware; emulated, it is slower than float32."""
    if device.type == "cuda":
        result: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return result
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def autocast(setting: Precision, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context for forward passes; weights and optimiser stay float32."""
    wanted = in_bfloat16(setting, device)
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else contextlib.nullcontext()


def in_bfloat16(setting: Precision, device: torch.device) -> bool:
    """Return whether forward passes compute in bfloat16."""
    return setting == "bfloat16" or (setting == "auto" and native_bfloat16(device))


def half_weights(learner: Learner, setting: Precision) -> HalfWeights | None:
    """Return bfloat16 copies of an encoder's weights for the steps of a training run; None: autocast converts them."""
    wanted = in_bfloat16(setting, learner.device) and learner.device.type == "cpu"
    return HalfWeights(learner.encoder) if wanted else None


ServedPrecision = Literal["auto", "float32", "bfloat16", "int8"]


def to_precision(learner: Learner, precision: ServedPrecision) -> Learner:
    """Return a learner whose encoder computes in a given precision; its head stays float32.

    A version saved in int8 or ONNX is unchanged, and a head in closed form needs the encoder in float32. int8 requires
    an encoder without adapters; others fall back to auto.
    """
    if learner.is_closed or learner.is_int8 or learner.graph is not None:
        return learner
    if precision == "int8" and not learner.by_reference and _is_plain(learner):
        return quantise_learner(learner)
    if precision == "int8":
        log.warning("serve.precision int8 needs an encoder without adapters, and there is none: using auto")
        precision = "auto"
    if precision == "bfloat16" or (precision == "auto" and native_bfloat16(learner.device)):
        cast_parameters(learner.encoder, torch.bfloat16)
    return learner


def _is_plain(learner: Learner) -> bool:
    """Return whether the encoder has only modules of its pretrained architecture."""
    return not any(type(module).__module__.startswith(("peft.", "cl.")) for module in learner.encoder.modules())
