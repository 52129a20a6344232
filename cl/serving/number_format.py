"""The number format in which a served encoder computes: float32, bfloat16, or linear layers in int8."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import torch
from torch import nn

from cl.training.learner import Learner
from cl.training.precision import native_bfloat16

log = logging.getLogger(__name__)
ServedPrecision = Literal["auto", "float32", "bfloat16", "int8"]


def in_precision(learner: Learner, precision: ServedPrecision) -> None:
    """Let a learner's encoder compute in a precision, in place; its head stays float32.

    int8 is for encoders on a CPU whose tuning has left plain linear layers; others compute as with auto.
    """
    if precision == "int8" and not _can_be_quantized(learner):
        log.warning("serve.precision: int8 is for encoders of plain linear layers on a CPU; this one computes as auto")
        precision = "auto"
    if precision == "int8":
        _quantize(learner.encoder)
    elif precision == "bfloat16" or (precision == "auto" and native_bfloat16(learner.device)):
        learner.encoder.to(torch.bfloat16)  # type: ignore[arg-type]


def _can_be_quantized(learner: Learner) -> bool:
    """Tell whether nothing but the pretrained architecture is there, and torch has int8 kernels for where it is."""
    on_cpu = learner.device.type == "cpu" and torch.backends.quantized.engine != "none"
    return on_cpu and not any(type(one).__module__.startswith(("peft.", "cl.")) for one in learner.encoder.modules())


def _quantize(encoder: nn.Module) -> None:
    """Keep the weights of linear layers in int8, a scale for each output, and round their inputs batch by batch.

    Dynamic quantization needs no data to calibrate with: the scale of the inputs is that of the batch (Zafrir et al.,
    2019, Q8BERT, measure what it costs).
    """
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated, and has no other without another package
        quantize_dynamic(encoder, {nn.Linear: per_channel_dynamic_qconfig}, inplace=True)
