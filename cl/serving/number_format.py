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


def _quantize(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            _quantize(child)


class Int8Linear(nn.Module):
    """A linear layer with weights in int8, a scale for each output, whose inputs are rounded batch by batch.

    Dynamic quantization needs no data to calibrate with: the scale of the inputs is that of the batch (Zafrir et al.,
    2019, Q8BERT). Processors that add products of int8 in 32 bits (VNNI) round the inputs to 8 bits; on others the sum
    of two products has to fit into 16, and it is 7.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / 127).clamp(min=1e-8)
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to move its int8 kernels to a package of their own
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)
        self._seven_bits = not torch.cpu._is_vnni_supported()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs in float32."""
        return torch.ops.quantized.linear_dynamic(inputs, self._packed, self._seven_bits)

    @property
    def weight(self) -> torch.Tensor:
        """The weights, in int8 with their scales."""
        return torch.ops.quantized.linear_unpack(self._packed)[0]
