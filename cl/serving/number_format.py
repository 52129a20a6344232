"""The number format in which a served encoder computes: float32, bfloat16, or its matrices in int8."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from cl.training.int8 import quantised
from cl.training.learner import Learner
from cl.training.precision import native_bfloat16

log = logging.getLogger(__name__)
ServedPrecision = Literal["auto", "float32", "bfloat16", "int8"]


def in_precision(learner: Learner, precision: ServedPrecision) -> Learner:
    """Return a learner whose encoder computes in a precision; its head stays float32.

    A version that was saved in int8 or ONNX stays what it is, and heads that were solved for read the encoder in
    float32. int8 is for encoders whose tuning has left the pretrained architecture as it was; others compute as with
    auto.
    """
    if learner.is_closed or learner.is_int8 or learner.graph is not None:
        return learner
    if precision == "int8" and _is_plain(learner):
        return quantised(learner)
    if precision == "int8":
        log.warning("serve.precision: int8 is for encoders without adapters; this one computes as auto")
        precision = "auto"
    if precision == "bfloat16" or (precision == "auto" and native_bfloat16(learner.device)):
        learner.encoder.to(torch.bfloat16)  # type: ignore[arg-type]
    return learner


def _is_plain(learner: Learner) -> bool:
    """Tell whether nothing but the pretrained architecture is there."""
    return not any(type(one).__module__.startswith(("peft.", "cl.")) for one in learner.encoder.modules())
