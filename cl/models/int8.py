"""Weights as whole numbers of eight bits: a quarter of the bytes, and products that a processor has instructions for.

Each row of a matrix has a scale of its own, and so has each token's state when it is multiplied: no scale depends on
the other texts in a batch, and sums of whole numbers are the same on every run. (Dynamic quantisation as torch.ao had
it, which takes one scale for a whole batch, is deprecated there.) What lies between the products is in floats, whose
last digit may depend on a batch's shape, and tip a rounding here and there.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


INT8_MAX = 127
MIN_SCALE = 1e-8
"""The least scale: a row of zeros stays one."""


class Int8Linear(nn.Module):
    """``x W^T + b`` with W in whole numbers, and x rounded to whole numbers as it comes; on a GPU, in floats."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map (..., inputs) to (..., outputs); where a gradient is wanted, in floats."""
        exact = states.float()
        if torch.is_grad_enabled() or states.is_cuda:
            return nn.functional.linear(exact, dequantise_rows(self.weight, self.scale), self.bias).to(states.dtype)
        rows = exact.reshape(-1, self.in_features)
        scale = rows.abs().amax(1, keepdim=True).clamp_(min=MIN_SCALE).mul_(1 / INT8_MAX)
        whole = torch._int_mm((rows / scale).round_().to(torch.int8), self.weight.t())
        out = whole.float().mul_(scale).mul_(self.scale)
        out = out if self.bias is None else out.add_(self.bias)
        return out.view(*states.shape[:-1], self.out_features).to(states.dtype)


class Int8Embedding(nn.Module):
    """A table of embeddings in whole numbers, read back as floats."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, rows: int, width: int, padding: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = rows, width, padding
        self.register_buffer("weight", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (..., width)."""
        return self.weight[ids].float() * self.scale[ids].unsqueeze(-1)


def quantise(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of an encoder in float32, its matrices and its word embeddings in int8."""
    small = with_int8_modules(copy.deepcopy(encoder))
    floats = dict(encoder.named_modules())
    with torch.no_grad():
        for name, module in small.named_modules():
            if isinstance(module, Int8Linear | Int8Embedding):
                whole, scale = round_rows(cast(torch.Tensor, floats[name].weight.detach()))
                module.weight.copy_(whole)
                module.scale.copy_(scale)
                if isinstance(module, Int8Linear) and module.bias is not None:
                    module.bias.copy_(cast(torch.Tensor, floats[name].bias))
    return small


def dequantise(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of an encoder whose int8 matrices are floats again, so that it can be trained."""
    large = copy.deepcopy(encoder)
    for name, module in list(large.named_modules()):
        if isinstance(module, Int8Linear):
            linear = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            state = {"weight": dequantise_rows(module.weight, module.scale)}
            linear.load_state_dict(state if module.bias is None else {**state, "bias": module.bias})
            large.set_submodule(name, linear.to(module.weight.device))
        elif isinstance(module, Int8Embedding):
            table = nn.Embedding.from_pretrained(dequantise_rows(module.weight, module.scale), freeze=False)
            table.padding_idx = module.padding_idx
            large.set_submodule(name, table)
    return large


def with_int8_modules(encoder: PreTrainedModel) -> PreTrainedModel:
    """Put empty modules of whole numbers in the place of an encoder's linear maps and of its word embeddings."""
    words = encoder.get_input_embeddings()
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            bias = module.bias is not None
            encoder.set_submodule(name, Int8Linear(module.in_features, module.out_features, bias=bias))
        elif module is words and isinstance(module, nn.Embedding):
            padding = module.padding_idx
            encoder.set_submodule(name, Int8Embedding(module.num_embeddings, module.embedding_dim, padding))
    return encoder


def is_int8(encoder: nn.Module) -> bool:
    """Tell whether any of an encoder's weights are whole numbers."""
    return any(isinstance(module, Int8Linear | Int8Embedding) for module in encoder.modules())


def round_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix as whole numbers, -127 to 127, and the scale of each row."""
    scale = weight.abs().amax(1).clamp(min=MIN_SCALE) / INT8_MAX
    return (weight / scale.unsqueeze(1)).round().to(torch.int8), scale


def dequantise_rows(whole: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the matrix that whole numbers and the scale of each row stand for."""
    return whole.float() * scale.unsqueeze(1)
